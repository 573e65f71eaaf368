// Which images the server's bundles judge.

const PHOTOGRAPH = 1024; // pixels on the shorter side, which any camera's photographs have

/** Say whether a bundle of this model judges photographs by their pixels. */
export const judgesPhotographs = ({ bundles }) =>
  bundles.some(({ scope: { min_side, max_side } }) => min_side <= PHOTOGRAPH && (max_side ?? Infinity) >= PHOTOGRAPH);

/** Return the sizes of images that a model's bundles are made for, in words. */
export function sizesOf({ bundles }) {
  const sizes = bundles.map(({ scope }) => {
    const [least, most] = [scope.min_side, scope.max_side].map((side) => side?.toLocaleString("en"));
    if (!most) return `${least} or more`;
    return least === most ? least : `${least} to ${most}`;
  });
  return [...new Set(sizes)].join(", or of ");
}

/** Return the images of `GET v1/examples` as files. */
export function toFiles({ examples }) {
  return examples.map(({ name, picture }) => {
    const bytes = Uint8Array.from(atob(picture), (sign) => sign.charCodeAt(0));
    return { file: new File([bytes], name, { type: "image/png" }), name };
  });
}
