// The line that says what is in the way.
import { h, plural } from "./dom.js";

const notice = document.getElementById("notice");
let said = "";
let ticking = null;

/** Show a sentence or elements, of the kind `busy`, `lost` or `key`; nothing without a kind. */
export function notify(kind = "", ...content) {
  const now = `${kind}${content.join()}`;
  if (now === said) return; // A live region would be read again.
  clearInterval(ticking);
  said = now;
  notice.className = `notice ${kind}`;
  notice.replaceChildren(...(kind ? [h("p", {}, content)] : []));
}

/** Show a sentence below what is asked for, where something is; else by itself. */
export function remark(sentence) {
  const form = notice.querySelector("form");
  if (!form) return notify("busy", sentence);
  form.querySelector("p")?.remove();
  form.append(h("p", {}, sentence));
}

/** Show a sentence, and below it the seconds until `time` (as `Date.now()` has it) as they pass. */
export function notifyUntil(kind, sentence, time) {
  // A timer is no live region: it is read once, and not every second.
  const timer = h("span", { role: "timer" });
  const tick = () => {
    timer.textContent = plural(Math.max(1, Math.ceil((time - Date.now()) / 1000)), "second");
  };
  tick();
  const key = `${kind}${sentence}${time}`;
  if (key === said) return;
  notify(kind, `${sentence} `, timer, ".");
  said = key;
  ticking = setInterval(tick, 250);
}

/** Ask for something that only the server's operator gives; `take(value)` has what was entered. */
export function askFor(label, take) {
  const input = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const form = h(
    "form",
    {
      onsubmit(event) {
        event.preventDefault();
        take(input.value);
      },
    },
    h("label", { for: "key" }, label),
    input,
    h("button", { type: "submit", class: "primary" }, "Continue"),
  );
  notify();
  notify("key", form);
  input.focus();
}
