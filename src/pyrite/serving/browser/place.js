// Where images are judged: here, in the browser. The page of a server has a module of its own in place of this one.

export const PARALLEL = 32; // files that are read and scored at a time
export const ON_DEMAND = []; // The map of what moved a score and the image's own history take a server.
export const READS_FILES = false; // Credentials and metadata are not read here.

export const WORDS = {
  banner: (sizes) => `This page judges images of ${sizes} pixels a side. It cannot judge photographs.`,
  others: "Others are not judged.",
  link: "That is a link, and this page fetches nothing. Save the picture, then choose the file here.",
  signature: "",
  unread: "The pixels alone are judged here. Content credentials and other notes in the file, which can outweigh them, are not read: `pyrite detect` reads them.",
  report: "Saves this verdict, without the image. Read it before you share it.",
};
