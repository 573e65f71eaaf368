// Where images are judged: by the server that this page came from. The page that needs no server has a module of its
// own in place of this one.

export const PARALLEL = 3; // files that are sent at a time
export const ON_DEMAND = ["map", "history"]; // What is made of an image on demand.
export const READS_FILES = true; // Credentials and metadata count.

export const WORDS = {
  banner: (sizes) => `This server judges the pixels of images of ${sizes} pixels a side. For photographs, it can only read what the file says.`,
  others: "For other images, only what the file says counts.",
  link: "That is a link. The server fetches nothing from other sites, so that nobody can use it to reach them. Save the picture, then choose the file here.",
  signature: "a signature that this server's trust list vouches for",
  unread: "",
  unseen: "",
  report: "Saves this verdict with all that the file says of itself, and without the image. Read it before you share it.",
};
