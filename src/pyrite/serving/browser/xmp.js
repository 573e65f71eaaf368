// XMP: the properties of an image, in every way that RDF can write them, as xmp.py has it. The library sax reads the XML.
import { begins, join, viewOf } from "./bytes.js";
import { MAX_TEXT, trim } from "./values.js";

const RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# ";
const XML = "http://www.w3.org/XML/1998/namespace ";
const PREFIX = "http://ns.adobe.com/xap/1.0/\0"; // What a JPEG has before its packet, and some write elsewhere too.
const CONTAINERS = ["Alt", "Bag", "Seq"].map((name) => RDF + name);
const INSTRUCTION = /^<\?[\p{L}_][\p{L}\p{N}_.-]*(?:\s|$)/u;
const MAX_DEPTH = 100;
const MAX_ELEMENTS = 50_000;

/** Return a packet's properties by `namespace name`, as far as it can be read, and why it was not read to its end. */
export function readPacket(library, bytes) {
  const properties = new Map();
  const root = { name: "", attributes: new Map(), children: [], text: "" };
  let damage = "";
  try {
    const text = textOf(bytes);
    if (text) parse(library, text, root);
  } catch (error) {
    damage = String(error.message).split("\n")[0].replace(/\.$/, "");
  }
  for (const description of findDescriptions(root, 3)) {
    for (const [name, value] of propertiesOf(description)) if (!properties.has(name)) properties.set(name, value);
  }
  return { properties, damage };
}

/** Return the text that stands for a value: that of a structure's `rdf:value`, or of the first item that has one. */
export function firstOf(value) {
  if (typeof value === "string") return value.trim();
  if (value instanceof Map) return firstOf(value.get(`${RDF}value`) ?? "");
  return value.map(firstOf).find(Boolean) ?? "";
}

/** Return the texts of a value: one, or those of a list's items. */
export const textsOf = (value) => (Array.isArray(value) ? value : [value]).map(firstOf).filter(Boolean);

/** Return a packet as a text: it may be in UTF-8, UTF-16 or UTF-32, with or without a mark of its order of bytes. */
function textOf(packet) {
  let bytes = begins(packet, PREFIX) ? packet.subarray(PREFIX.length) : packet;
  bytes = bytes.subarray(Math.max(0, bytes.findIndex((byte) => ![9, 10, 13, 32].includes(byte))));
  if (bytes.length > MAX_TEXT) throw new Error(`it has more than ${MAX_TEXT.toLocaleString("en")} bytes`);
  let encoding = "utf-8";
  if (["\xff\xfe\0\0", "<\0\0\0", "\0\0\xfe\xff", "\0\0\0<"].some((start) => begins(bytes, start))) return readWide(bytes, bytes[0] > 0);
  if (begins(bytes, "\xff\xfe") || begins(bytes, "<\0")) encoding = "utf-16le";
  else if (begins(bytes, "\xfe\xff") || begins(bytes, "\0<")) encoding = "utf-16be";
  const text = new TextDecoder(encoding, { fatal: true }).decode(join([bytes, new Uint8Array(encoding === "utf-8" ? 0 : bytes.length % 2)]));
  const inner = trim(text);
  return inner.startsWith(PREFIX) ? inner.slice(PREFIX.length) : inner;
}

function readWide(bytes, little) {
  const view = viewOf(bytes);
  const signs = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) signs.push(String.fromCodePoint(view.getUint32(at, little)));
  return trim(signs.join(""));
}

/** Read elements, of bounded number and depth; a document type ends it: XMP has no use for one, but an attack has. */
function parse(library, text, root) {
  const open = [root];
  let count = 0;
  const refuse = (error) => {
    throw error;
  };
  const name = ({ uri, local }) => (uri ? `${uri} ${local}` : local);
  library.MAX_BUFFER_LENGTH = Infinity; // Of one text; the packet's own length is bounded.
  const parser = new library.SAXParser(true, { xmlns: true, strictEntities: true });
  Object.assign(parser, {
    onerror: refuse,
    ondoctype: () => refuse(new Error("it has a document type declaration")),
    onopentag: (node) => {
      if (open.length > MAX_DEPTH) refuse(new Error("its elements are nested too deep"));
      if (++count > MAX_ELEMENTS) refuse(new Error(`it has more than ${MAX_ELEMENTS.toLocaleString("en")} elements`));
      const attributes = Object.values(node.attributes).filter(({ prefix, name: whole }) => prefix !== "xmlns" && whole !== "xmlns");
      const element = { name: name(node), attributes: new Map(attributes.map((one) => [name(one), one.value])), children: [], text: "" };
      open.at(-1).children.push(element);
      open.push(element);
    },
    ontext: (words) => (open.at(-1).text += words),
    oncdata: (words) => (open.at(-1).text += words),
    onclosetag: () => open.pop(),
  });
  const [elements, isWhole] = withoutInstructions(text);
  parser.write(elements);
  if (!isWhole) refuse(new Error("a processing instruction is not well-formed"));
  parser.close();
}

/**
 * Return XML without processing instructions, up to the first that is none, and whether that is all of it: sax takes
 * any for one, and does not see the end of one in `??>`, as Doubao writes it.
 */
function withoutInstructions(text) {
  const parts = text.split("?>");
  const rest = parts.pop();
  const kept = [];
  for (const part of parts) {
    const at = part.indexOf("<?");
    kept.push(at < 0 ? `${part}?>` : part.slice(0, at));
    if (at >= 0 && !INSTRUCTION.test(part.slice(at))) return [kept.join(""), false];
  }
  return [kept.join("") + rest, true];
}

/** Return the descriptions of the image: `x:xmpmeta`, or what it was called before, may be around them or not. */
function findDescriptions(element, depth) {
  for (const child of element.children) {
    if (child.name === `${RDF}RDF`) return child.children;
    const found = depth ? findDescriptions(child, depth - 1) : [];
    if (found.length) return found;
  }
  return [];
}

/** Return what an element says in attributes, and in elements of its own. */
function propertiesOf({ attributes, children }) {
  const found = new Map([...attributes].filter(([name]) => name.includes(" ") && !name.startsWith(RDF) && !name.startsWith(XML)));
  if (attributes.has(`${RDF}value`)) found.set(`${RDF}value`, attributes.get(`${RDF}value`));
  for (const child of children) {
    const value = valueOf(child);
    if (!isEmpty(value) && !found.has(child.name)) found.set(child.name, value);
  }
  return found;
}

const isEmpty = (value) => (value instanceof Map ? !value.size : !value.length);

function valueOf(element) {
  const { attributes, children } = element;
  if (attributes.has(`${RDF}resource`)) return attributes.get(`${RDF}resource`);
  const parse = attributes.get(`${RDF}parseType`);
  if (parse === "Resource") return propertiesOf(element);
  if (children.length && parse !== "Literal") {
    if (CONTAINERS.includes(children[0].name)) return itemsOf(children[0]);
    // A description of its own, or an element whose name is its type.
    return propertiesOf(children.length === 1 ? children[0] : element);
  }
  return element.text.trim() || propertiesOf(element);
}

/** Of alternatives, the one for whoever reads no language in particular comes first. */
function itemsOf({ children }) {
  const isDefault = (item) => item.attributes.get(`${XML}lang`) === "x-default";
  const items = [...children.filter(isDefault), ...children.filter((item) => !isDefault(item))];
  return items.map(valueOf).filter((value) => !isEmpty(value));
}
