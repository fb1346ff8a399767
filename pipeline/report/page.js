"use strict";
(() => {
  const block = document.getElementById("map-data");
  if (!block) return;
  const at = (id) => document.getElementById(id);
  const map = JSON.parse(block.textContent), data = JSON.parse(at("picture-data").textContent);
  const canvas = at("canvas"), plane = at("plane"), tip = at("tip"), detail = at("detail"), legend = at("legend");
  const context = canvas.getContext("2d");
  const count = map.uris.length, SCALE = 9999, MARGIN = 16, REACH = 14, COLORS = 8;
  let coloring = map.colorings[0], alone = null, here = -1, pinned = -1, matches = null;
  let zoom = 1, centerX = SCALE / 2, centerY = SCALE / 2, width = 0, height = 0, asked = false;

  const name = (row) => map.uris[row].replace(/^\//, "");
  const whole = (row) => map.prefix + map.uris[row];
  const colorOf = (code) => {
    if (coloring.ordered) return code < 5 ? `--b${code}` : "--c8";
    return `--c${Math.min(code, COLORS)}`;
  };
  const scale = () => (Math.min(width, height) - 2 * MARGIN) / SCALE * zoom;
  const xOf = (row) => width / 2 + (map.x[row] - centerX) * scale();
  const yOf = (row) => height / 2 + (map.y[row] - centerY) * scale();
  const shown = (row) => (alone === null || slot(coloring.codes[row]) === alone) && (!matches || matches.has(row));
  const slot = (code) => (coloring.ordered ? code : Math.min(code, COLORS));

  function text(tag, content, kind) {
    const made = document.createElement(tag);
    made.textContent = content;
    if (kind) made.className = kind;
    return made;
  }

  function picture(row) {
    const [wide, high, why] = map.pictures[row] || [0, 0, "not among those that are on this page"];
    if (!data[row]) return text("p", `no picture: ${why}`, "none");
    const image = document.createElement("img");
    image.src = `data:image/jpeg;base64,${data[row]}`;
    image.alt = whole(row);
    image.width = wide;
    image.height = high;
    return image;
  }

  function draw() {
    asked = false;
    const ratio = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement);
    const colors = new Map();
    const radius = Math.max(1.5, Math.min(5, 60 / Math.sqrt(count))) * Math.min(2, Math.sqrt(zoom));
    // What is not asked for lies below the others, and what has no color of its own below what has one.
    const layer = (row) => (shown(row) ? (colorOf(coloring.codes[row]) === "--c8" ? 1 : 2) : 0);
    for (const wanted of [0, 1, 2]) {
      context.globalAlpha = wanted ? 0.85 : 0.12;
      for (let row = 0; row < count; row++) {
        if (layer(row) !== wanted) continue;
        const variable = colorOf(coloring.codes[row]);
        if (!colors.has(variable)) colors.set(variable, style.getPropertyValue(variable).trim());
        context.fillStyle = colors.get(variable);
        context.beginPath();
        context.arc(xOf(row), yOf(row), radius, 0, 7);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue("--ink").trim();
    context.lineWidth = 1;
    if (pinned >= 0) {
      for (const near of map.nearest[pinned]) {
        context.beginPath();
        context.moveTo(xOf(pinned), yOf(pinned));
        context.lineTo(xOf(near), yOf(near));
        context.stroke();
      }
    }
    for (const row of new Set([pinned, here])) {
      if (row < 0) continue;
      context.lineWidth = 2.5;
      context.beginPath();
      context.arc(xOf(row), yOf(row), radius + 4, 0, 7);
      context.stroke();
    }
  }

  function redraw() {
    if (!asked) requestAnimationFrame(draw);
    asked = true;
  }

  function nearestTo(x, y) {
    let best = -1, least = REACH * REACH;
    for (let row = 0; row < count; row++) {
      if (!shown(row)) continue;
      const distance = (xOf(row) - x) ** 2 + (yOf(row) - y) ** 2;
      if (distance < least) [best, least] = [row, distance];
    }
    return best;
  }

  function value(row) {
    return `${coloring.name}: ${coloring.names[coloring.codes[row]]}`;
  }

  function point(row, aloud) {
    here = row;
    tip.hidden = row < 0;
    if (row >= 0) {
      tip.replaceChildren(picture(row), text("p", name(row)), text("p", value(row)));
      const x = xOf(row), y = yOf(row);
      tip.style.left = `${Math.max(0, Math.min(x + 12, width - 204))}px`;
      tip.style.top = `${y > height / 2 ? Math.max(0, y - 12 - tip.offsetHeight) : y + 12}px`;
      if (aloud) at("said").textContent = `${name(row)}, ${value(row)}`;
    }
    redraw();
  }

  function pin(row) {
    pinned = row;
    detail.hidden = row < 0;
    if (row >= 0) {
      const list = document.createElement("ul");
      list.className = "gallery";
      map.nearest[row].forEach((near, place) => {
        const item = document.createElement("li");
        const go = text("button", `${(map.cosines[row][place] / 1000).toFixed(3)} ${name(near)}`);
        go.type = "button";
        go.addEventListener("click", () => { show(near); pin(near); });
        item.append(picture(near), go);
        list.append(item);
      });
      const values = map.colorings.map((each) => text("p", `${each.name}: ${each.names[each.codes[row]]}`, "note"));
      detail.replaceChildren(text("h3", whole(row)), picture(row), ...values, text("h3", "Its nearest, by cosine"), list);
      at("said").textContent = `${name(row)}: its ${map.nearest[row].length} nearest are listed below the map`;
    }
    redraw();
  }

  function show(row) {
    const x = xOf(row), y = yOf(row);
    if (x < MARGIN || y < MARGIN || x > width - MARGIN || y > height - MARGIN) {
      [centerX, centerY] = [map.x[row], map.y[row]];
      draw();
    }
    point(row, true);
  }

  function toward(dx, dy) {
    if (here < 0) {
      for (let row = 0; row < count && here < 0; row++) if (shown(row)) show(row);
      return;
    }
    let best = -1, least = Infinity;
    for (let row = 0; row < count; row++) {
      const x = map.x[row] - map.x[here], y = map.y[row] - map.y[here];
      const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
      if (row === here || !shown(row) || ahead <= 0 || aside > 2 * ahead) continue;
      if (ahead + 2 * aside < least) [best, least] = [row, ahead + 2 * aside];
    }
    if (best >= 0) show(best);
  }

  function magnify(factor) {
    zoom = Math.max(1, Math.min(64, zoom * factor));
    if (here >= 0 && factor > 1) [centerX, centerY] = [map.x[here], map.y[here]];
    if (zoom === 1) [centerX, centerY] = [SCALE / 2, SCALE / 2];
    draw();
    if (here >= 0) point(here, false);
  }

  function explain() {
    const slots = new Map();
    coloring.codes.forEach((code) => slots.set(slot(code), (slots.get(slot(code)) || 0) + 1));
    const rows = [...slots.keys()].sort((a, b) => a - b).map((each) => {
      const several = !coloring.ordered && each === COLORS && coloring.names.length > COLORS + 1;
      const button = document.createElement("button");
      const dot = document.createElement("i");
      dot.style.background = `var(${colorOf(each)})`;
      const label = several ? `${coloring.names.length - COLORS} others` : coloring.names[each];
      button.append(dot, text("span", `${label} (${slots.get(each).toLocaleString("en")})`));
      button.type = "button";
      button.setAttribute("aria-pressed", String(alone === each));
      button.addEventListener("click", () => {
        alone = alone === each ? null : each;
        for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && alone !== null));
        redraw();
      });
      return button;
    });
    legend.replaceChildren(...rows);
  }

  map.colorings.forEach((each, place) => {
    const option = text("option", each.name);
    option.value = place;
    at("coloring").append(option);
  });
  at("coloring").addEventListener("change", (event) => {
    coloring = map.colorings[event.target.value];
    alone = null;
    explain();
    redraw();
  });
  at("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    matches = wanted ? new Set(map.uris.keys()) : null;
    if (wanted) for (let row = 0; row < count; row++) if (!whole(row).toLowerCase().includes(wanted)) matches.delete(row);
    at("said").textContent = wanted ? `${matches.size.toLocaleString("en")} images found` : "";
    redraw();
  });
  at("find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !matches || !matches.size) return;
    const rows = [...matches].sort((a, b) => a - b);
    show(rows.find((row) => row > here) ?? rows[0]);
  });
  at("in").addEventListener("click", () => magnify(2));
  at("out").addEventListener("click", () => magnify(0.5));
  at("all").addEventListener("click", () => magnify(0));
  plane.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) toward(...moves[event.key]);
    else if (event.key === "Enter" && here >= 0) pin(here);
    else if (event.key === "+" || event.key === "=") magnify(2);
    else if (event.key === "-") magnify(0.5);
    else if (event.key === "0") magnify(0);
    else if (event.key === "Escape") { pin(-1); point(-1, false); }
    else return;
    event.preventDefault();
  });
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = { x: event.clientX, y: event.clientY, moved: false };
  });
  window.addEventListener("pointerup", () => { setTimeout(() => { dragged = null; }); });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && event.pointerType === "mouse" && zoom > 1) {
      const x = event.clientX - dragged.x, y = event.clientY - dragged.y;
      dragged.moved ||= Math.abs(x) + Math.abs(y) > 4;
      if (dragged.moved) {
        centerX -= x / scale();
        centerY -= y / scale();
        [dragged.x, dragged.y] = [event.clientX, event.clientY];
        redraw();
        return;
      }
    }
    const row = nearestTo(event.offsetX, event.offsetY);
    if (row !== here) point(row, false);
  });
  canvas.addEventListener("pointerleave", () => point(-1, false));
  canvas.addEventListener("click", (event) => {
    if (dragged && dragged.moved) return;
    const row = nearestTo(event.offsetX, event.offsetY);
    if (row >= 0) { point(row, false); pin(row); }
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a page that is scrolled goes on
    event.preventDefault();
    magnify(event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  for (const hidden of [at("controls"), at("keys"), document.querySelector(".atlas")]) hidden.hidden = false;
  explain();
  draw();
})();
