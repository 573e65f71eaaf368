// Detections for programs, with the same fields and columns as `pyrite detect --json` and `--csv`.

const COLUMNS = [
  "path", "sha256", "format", "width", "height", "frames", "verdict", "probability", "logit", "reason", "explanation",
  "p_real", "p_ai", "max_fpr", "evidence", "model_name", "model_version", "error_code", "error_message",
];
const PLAIN = COLUMNS.slice(0, COLUMNS.indexOf("evidence"));

export function toJson(detections) {
  return `[${detections.map((found) => `\n${JSON.stringify(found)}`).join(",")}\n]\n`;
}

/** Return CSV; text that a spreadsheet would take for a formula gets an apostrophe in front. */
export function toCsv(detections) {
  const lines = [COLUMNS, ...detections.map(row)].map((values) => values.map(cell).join(","));
  return `\uFEFF${lines.join("\n")}\n`; // With its mark, spreadsheets take it for the UTF-8 that it is.
}

function row(found) {
  const evidence = found.evidence.map((item) => `${item.kind}:${item.strength}:${item.says ?? ""}`).join(";");
  const { model, error } = found;
  return [...PLAIN.map((name) => found[name]), evidence, model?.name, model?.version, error?.code, error?.message];
}

function cell(value) {
  if (typeof value === "number") return String(value);
  const text = value ?? "";
  return `"${/^[=+\-@\t\r]/.test(text) ? "'" : ""}${text.replaceAll('"', '""')}"`;
}
