// What a camera wrote, as camera.py has it: context, since anyone can write it.
import { plain, tidy } from "./values.js";

/**
 * Report the camera that EXIF names beside a setting of the exposure, or the whole exposure without a camera.
 *
 * A Make or Model alone is not a camera: generators write there as well.
 */
export function readCamera({ exif, gps }, rules) {
  const { camera_settings, exposure } = rules.raw;
  const [make, model] = ["Make", "Model"].map((name) => exif.get(name));
  const names = [make, model].filter((name) => typeof name === "string" && rules.isAll("camera", name));
  const settings = Object.fromEntries(Object.entries(camera_settings).flatMap(([name, key]) => (exif.has(name) ? [[key, exif.get(name)]] : [])));
  let told;
  if (names.length && Object.keys(settings).length) {
    // Many models begin with their make.
    const name = names.at(-1).toLowerCase().startsWith(names[0].toLowerCase()) ? names.at(-1) : names.join(" ");
    told = `names a camera, ${plain(name)}`;
  } else if (!names.length && exposure.every((key) => key in settings)) {
    told = "has a camera's exposure time, aperture and sensitivity, but names no camera";
  } else return [];
  return [
    {
      kind: "camera",
      strength: "asserted",
      says: null,
      detail: `The file's EXIF data ${told}, which anyone could have written.`,
      data: tidy({ make, model, lens: exif.get("LensModel"), software: exif.get("Software"), ...settings, ...placeOf(gps) }),
    },
  ];
}

/** Return latitude and longitude in degrees, north and east being positive, where both are there and possible. */
function placeOf(gps) {
  const found = {};
  for (const [name, key, most, minus] of [["Latitude", "latitude", 90, "S"], ["Longitude", "longitude", 180, "W"]]) {
    const [degrees, minutes, seconds, more] = gps[`GPS${name}`] ?? [];
    const value = degrees + minutes / 60 + seconds / 3600;
    if (more !== undefined || !(value >= 0 && value <= most)) return {};
    found[key] = Number((gps[`GPS${name}Ref`] === minus ? -value : value).toFixed(6));
  }
  return found;
}
