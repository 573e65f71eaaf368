// Where images are judged: here, in the browser. The page of a server has a module of its own in place of this one.

export const PARALLEL = 32; // files that are read and scored at a time
export const ON_DEMAND = []; // The map of what moved a score and the image's own history take a server.
export const READS_FILES = false; // Of a file, content credentials alone are read here.

export const WORDS = {
  banner: (sizes) => `This page judges images of ${sizes} pixels a side. Of a photograph, it reads only the content credentials.`,
  others: "Of others, only content credentials are judged.",
  link: "That is a link, and this page fetches nothing. Save the picture, then choose the file here.",
  signature: "",
  unread: "Of the file, only content credentials are read here. Its other notes, which can outweigh the pixels, and marks in the pixels are not: `pyrite detect` reads them.",
  unseen: "It has no content credentials. Nothing else in it is read here.",
  report: "Saves this verdict with the file's content credentials, and without the image. Read it before you share it.",
};
