"""The pictures of the operator's guide and of the README, taken on the same walk as those of every screen.

python -m tests.console.guide_pictures        writes docs/images/console/ and the README's two; needs Chromium
"""

import base64
import struct
import zlib
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.console.browser import SIZE, chromium_arguments
from tests.console.looks import LANGUAGES, SETTLE_MS, Look, turn
from tests.console.screens import Stage, every_screen

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FOLDER = IMAGES / "console"
LIMIT = 120_000  # bytes of a picture: a guide is read over a village's line, too
COLOURS = (96, 64, 48, 32, 24, 16)  # as many as fit below the limit
README = "incident-cry"
GUIDE = (
    "log-in",
    "queue",
    "incident-cry",
    "form-dispatch",
    "card-several",
    "quick-record",
    "form-resolve",
    "form-call-back",
    "queue-flood",
    "shift-goes",
    "shift-comes",
    "supervisor-now",
    "machinery",
    "wall",
)

# Pixels of a PNG as indices into the commonest colours: [width, height, [r, g, b, …], base64 of the indices].
PALETTE = """async ([source, most]) => {
  const bytes = Uint8Array.from(atob(source), (one) => one.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const counts = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const key = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const parts = (key) => [key >> 16, (key >> 8) & 255, key & 255];
  const away = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  const chosen = [];
  for (const [key] of [...counts].sort((a, b) => b[1] - a[1])) {
    const colour = parts(key);
    if (chosen.every((one) => away(one, colour) > 200)) chosen.push(colour); // no two that the eye takes for one
    if (chosen.length === most) break;
  }
  const nearest = new Map();
  for (const key of counts.keys()) {
    const colour = parts(key);
    let best = 0;
    for (let i = 1; i < chosen.length; i += 1) if (away(chosen[i], colour) < away(chosen[best], colour)) best = i;
    nearest.set(key, best);
  }
  let text = '';
  for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(nearest.get((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]));
  return [image.width, image.height, chosen.flat(), btoa(text)];
}"""


def indexed(width: int, height: int, colours: list[int], pixels: bytes) -> bytes:
    """A PNG with a palette (ISO 15948, colour type 3), four bits a pixel where sixteen colours do."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    is_small = len(colours) <= 16 * 3 and width % 2 == 0
    rows = [pixels[start : start + width] for start in range(0, width * height, width)]
    if is_small:
        rows = [bytes(left << 4 | right for left, right in zip(row[::2], row[1::2], strict=True)) for row in rows]
    head = struct.pack(">IIBBBBB", width, height, 4 if is_small else 8, 3, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"PLTE", bytes(colours)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def reduced(helper: Page, picture: bytes) -> bytes:
    """The same picture in fewer colours, below the limit. helper: any empty page, whose canvas counts the colours."""
    for most in COLOURS:
        width, height, colours, pixels = helper.evaluate(PALETTE, [base64.b64encode(picture).decode(), most])
        made = indexed(width, height, colours, base64.b64decode(pixels))
        if len(made) < LIMIT:
            return made
    raise ValueError(f"{len(made)} bytes with {most} colours: more than {LIMIT}")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium_arguments())
        helper = browser.new_page()

        def take(stage: Stage, name: str) -> None:
            if name not in GUIDE:
                return
            for language in LANGUAGES:
                turn(stage.page, Look(language))
                stage.page.wait_for_timeout(3 * SETTLE_MS)
                made = reduced(helper, stage.page.screenshot())
                (FOLDER / f"{name}.{language}.png").write_bytes(made)
                if name == README:
                    (IMAGES / f"console-{language}.png").write_bytes(made)
                print(name, language, len(made), flush=True)
            turn(stage.page, Look())

        every_screen(browser, take)
        browser.close()


if __name__ == "__main__":
    main()
    print(f"{len(GUIDE) * len(LANGUAGES)} pictures of {SIZE['width']}×{SIZE['height']} in {FOLDER.name}")
