// Where images are judged: here, in the browser. The page of a server has a module of its own in place of this one.

export const PARALLEL = 32; // files that are read and scored at a time
export const ON_DEMAND = []; // The map of what moved a score and the image's own history take a server.
export const READS_FILES = false; // What is hidden in pixels and the history of a file are not read here.

export const WORDS = {
  banner: (sizes) => `This page judges images of ${sizes} pixels a side. For photographs, it can only read what the file says.`,
  others: "For other images, only what the file says counts.",
  link: "That is a link, and this page fetches nothing. Save the picture, then choose the file here.",
  signature: "",
  unread: "Of the file, content credentials and other metadata are read here. Watermarks and texts hidden in the pixels, which can outweigh the score, and the file's history are not: `pyrite detect` reads them.",
  unseen: "Its metadata names no origin. What is hidden in its pixels is not read here.",
  report: "Saves this verdict with what the file says of itself, and without the image. Read it before you share it.",
};
