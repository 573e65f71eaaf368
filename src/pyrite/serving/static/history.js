// What the file and its pixels tell of earlier saves and edits: context, never a verdict.
import { h, visible } from "./dom.js";

/** Return what `POST v1/history` answered as elements. `own`: the address of the image's own small picture, if any. */
export function drawHistory({ evidence, maps, thumbnail }, own) {
  return [
    ...evidence.map(({ detail }) => h("p", {}, visible(detail))),
    thumbnail.picture && h("figure", { class: "pair" }, picture(thumbnail.picture, "The thumbnail in the file"), own && picture(own, "The image")),
    h("p", {}, thumbnail.found),
    ...maps.flatMap((map) => [
      h("h5", {}, map.title),
      map.picture && h("figure", { class: "map" }, picture(map.picture, `${map.title}, as a map over the image`)),
      map.picture && h("p", { class: "fine" }, `Darkest: ${figure(map.scale[0])}; brightest: ${figure(map.scale[1])} (${map.unit}).`),
      h("p", {}, map.found),
      map.picture && h("p", { class: "fine" }, `${map.shows} ${map.limits}`),
    ]),
  ].filter(Boolean);
}

const picture = (src, alt) => h("img", { src, alt, title: alt });
const figure = (value) => value.toFixed(2);
