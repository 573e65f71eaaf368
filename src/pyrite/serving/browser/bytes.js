// Bytes that hold words and numbers.

export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Return where a text in ASCII begins among bytes, or -1. */
export function find(bytes, text, from = 0) {
  for (let at = bytes.indexOf(text.charCodeAt(0), from); at >= 0; at = bytes.indexOf(text.charCodeAt(0), at + 1)) {
    if (begins(bytes, text, at)) return at;
  }
  return -1;
}

/** Say whether a text in ASCII stands in some place among bytes. */
export function begins(bytes, text, at = 0) {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Return bytes as Latin-1: each is a character of its own, as browsers' decoder of that name does not have it. */
export function latin1(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 8192) parts.push(String.fromCharCode.apply(null, bytes.subarray(at, at + 8192)));
  return parts.join("");
}

/** Return a text that is UTF-8, as what is written today, or else Latin-1, as the specifications have it. */
export function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return latin1(bytes);
  }
}

export function join(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
