"""The budget of encoded bytes: kept by threads and coroutines alike."""

from __future__ import annotations

import asyncio
import threading
import time

from transforms.stores.budget import ByteBudget

SIZES = [30, 60, 250, 10, 100, 90, 5, 5, 0, 40] * 4


class Held:
    """What is held now, and the most that was."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def change(self, size: int) -> None:
        with self._lock:
            self.now += size
            assert self.now <= 100 or self.now == 250  # what is larger than all of it goes alone
            self.most = max(self.most, self.now)


def test_the_budget_is_kept_and_oversized_ones_go_alone() -> None:
    """Half of them wait as threads, half as coroutines."""
    budget, held = ByteBudget(100), Held()
    failed: list[BaseException] = []

    def take(size: int) -> None:
        try:
            with budget.take(size):
                held.change(size)
                time.sleep(0.002)
                held.change(-size)
        except BaseException as e:
            failed.append(e)

    async def admit(size: int) -> None:
        with await budget.admit(size):
            held.change(size)
            await asyncio.sleep(0.002)
            held.change(-size)

    async def admit_all() -> None:
        await asyncio.wait_for(asyncio.gather(*map(admit, SIZES)), 30)

    threads = [threading.Thread(target=take, args=[size]) for size in SIZES]
    for thread in threads:
        thread.start()
    asyncio.run(admit_all())
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert held.now == 0
    assert held.most == 250


def test_room_that_is_not_needed_is_given_back_once() -> None:
    budget = ByteBudget(100)
    room = budget.take(80)
    room.shrink(30)
    room.shrink(90)  # no more is taken
    with budget.take(70):
        assert not budget._fits(1)
    room.shrink(0)
    room.shrink(0)
    assert budget._held == 0
