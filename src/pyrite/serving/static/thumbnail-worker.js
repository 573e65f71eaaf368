// Decodes and encodes small pictures beside the page, which goes on meanwhile.

const SIDE = 320; // pixels, at most
const TINY = 64; // Such images are kept as they are, and drawn with every pixel as a square.

addEventListener("message", async ({ data: { id, file } }) => {
  postMessage({ id, made: await draw(file).catch(() => null) });
});

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
  return { blob, width: canvas.width, height: canvas.height, tiny };
}
