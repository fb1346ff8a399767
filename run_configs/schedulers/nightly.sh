#!/bin/sh
# One night of a backfill; cron and systemd call it. The run id is the night's date, so a second call of the same
# night continues a run that was killed, waits for nobody, and does nothing when the night is published.
#
#   EMBED_IMAGES_INPUT    what to embed, such as gs://bucket/photos
#   EMBED_IMAGES_OUTPUT   where the runs go, such as gs://bucket/features
#   EMBED_IMAGES_CONFIG   a run config (default: backfill.yaml beside this folder)
#   EMBED_IMAGES_NIGHT    the night, YYYY-MM-DD (default: today, UTC)
set -eu
here=$(dirname "$0")
exec embed-images run \
    --config "${EMBED_IMAGES_CONFIG:-$here/../backfill.yaml}" \
    --input "$EMBED_IMAGES_INPUT" \
    --output "$EMBED_IMAGES_OUTPUT" \
    --run_id "night-${EMBED_IMAGES_NIGHT:-$(date -u +%Y-%m-%d)}" "$@"
