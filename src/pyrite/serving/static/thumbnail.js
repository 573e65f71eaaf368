// Small pictures of the files, made here: nothing is asked of the server for them.

const SIDE = 320; // pixels, at most
const TINY = 64; // Such images are kept as they are, and drawn with every pixel as a square.
const TOO_LARGE = 64_000_000; // bytes that a browser should not be made to decode for a small picture
const PARALLEL = 2;

let running = 0;
const waiting = [];

/** Return `{blob, url, width, height, tiny}`, or `null` where the browser cannot show such a file. */
export async function makeThumbnail(file) {
  if (file.size > TOO_LARGE || file.size === 0) return null;
  if (running >= PARALLEL) await new Promise((go) => waiting.push(go));
  running++;
  try {
    return await draw(file);
  } catch {
    return null;
  } finally {
    running--;
    waiting.shift()?.();
  }
}

async function draw(file) {
  const image = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const canvas = new OffscreenCanvas(...[image.width, image.height].map((side) => Math.max(1, Math.round(side * scale))));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const tiny = Math.max(image.width, image.height) <= TINY;
  image.close();
  const lossless = tiny || /png|gif|webp|svg/.test(file.type); // They may be transparent.
  const blob = await canvas.convertToBlob({ type: lossless ? "image/png" : "image/jpeg", quality: 0.85 });
  return { blob, url: URL.createObjectURL(blob), width: canvas.width, height: canvas.height, tiny };
}
