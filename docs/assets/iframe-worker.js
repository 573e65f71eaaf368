// Browsers start no worker for a page that was opened from a folder. There the search runs in a frame of the page instead.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const home = new URL(url, location.href);
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      let loaded = Promise.resolve();
      inside.document.open();
      inside.document.write("<!doctype html><title>Search</title>");
      inside.document.close();
      const load = (source) => new Promise((done) => {
        const script = inside.document.createElement("script");
        script.src = new URL(source, home);
        script.onload = script.onerror = done;
        inside.document.head.append(script);
      });
      // A worker waits for what it imports; a frame can only promise it, and the next message comes after that.
      inside.importScripts = (...sources) => (loaded = sources.reduce((before, source) => before.then(() => load(source)), loaded));
      inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        this.onmessage?.(event);
      };
      const ready = load(home);
      let order = Promise.resolve();
      this.postMessage = (data) => {
        order = order.then(() => ready).then(() => loaded).then(() => inside.dispatchEvent(new MessageEvent("message", { data })));
      };
      this.terminate = () => frame.remove();
    }
  };
}
