// The browser's side of the live picture. Pictures come as binary JPEG. Each one is answered once it has been
// shown; until then the kernel holds the next ones back. Nothing is kept but the picture on display.

export default () => {
  let model;
  const page = crypto.randomUUID?.() ?? String(Math.random());
  const canvases = new Set();
  let waiting = null; // { number, bitmap } that the next animation frame shows
  let animation = 0;
  let shown = 0;

  const say = (message) => {
    try {
      model.send({ page, hidden: document.hidden, ...message });
    } catch {
      // The kernel or the connection is gone; the kernel's side stops by itself.
    }
  };
  const tellViews = () => say({ kind: "views", views: canvases.size });

  function show() {
    cancelAnimationFrame(animation);
    animation = 0;
    if (!waiting) return;
    const { number, bitmap } = waiting;
    waiting = null;
    for (const canvas of canvases) {
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
      }
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      canvas.dataset.number = number;
      canvas.dataset.shown = ++shown;
      canvas.parentElement.classList.add("edgekit-has-picture");
    }
    bitmap.close();
    say({ kind: "shown", number });
  }

  async function receive(message, buffers) {
    if (message.kind !== "picture" || !canvases.size) return;
    const number = message.number;
    let bitmap;
    try {
      bitmap = await createImageBitmap(new Blob([buffers[0]], { type: "image/jpeg" }));
    } catch {
      say({ kind: "shown", number }); // a damaged picture must not stop the flow
      return;
    }
    if (waiting) {
      // Decoding may overtake: the newer one stays.
      const [older, newer] = waiting.number < number ? [waiting, { number, bitmap }] : [{ number, bitmap }, waiting];
      older.bitmap.close();
      waiting = newer;
    } else {
      waiting = { number, bitmap };
    }
    // A hidden page gets no animation frames; it must answer all the same.
    if (document.hidden) show();
    else if (!animation) animation = requestAnimationFrame(show);
  }

  const visibility = () => {
    if (document.hidden) show();
    if (canvases.size) tellViews();
  };
  const leave = () => say({ kind: "views", views: 0 });
  const comeBack = () => canvases.size && tellViews();

  return {
    initialize(context) {
      model = context.model;
      model.on("msg:custom", receive);
      document.addEventListener("visibilitychange", visibility);
      window.addEventListener("pagehide", leave);
      window.addEventListener("pageshow", comeBack);
      return () => {
        model.off("msg:custom", receive);
        document.removeEventListener("visibilitychange", visibility);
        window.removeEventListener("pagehide", leave);
        window.removeEventListener("pageshow", comeBack);
        cancelAnimationFrame(animation);
        waiting?.bitmap.close();
        waiting = null;
      };
    },

    render({ el }) {
      const frame = document.createElement("div");
      frame.className = "edgekit-picture";
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      const hint = document.createElement("div");
      hint.className = "edgekit-hint";
      const update = () => {
        canvas.setAttribute("aria-label", model.get("label"));
        hint.textContent = model.get("hint");
        frame.style.maxWidth = `${model.get("side")}px`;
      };
      update();
      const traits = ["change:label", "change:hint", "change:side"];
      traits.forEach((trait) => model.on(trait, update));
      const [other] = canvases;
      if (other) {
        canvas.width = other.width;
        canvas.height = other.height;
        canvas.getContext("2d").drawImage(other, 0, 0);
        frame.className = other.parentElement.className;
      } else {
        canvas.width = model.get("side");
        canvas.height = Math.round((model.get("side") * 9) / 16);
      }
      frame.append(canvas, hint);
      el.append(frame);
      canvases.add(canvas);
      tellViews();
      return () => {
        traits.forEach((trait) => model.off(trait, update));
        canvases.delete(canvas);
        tellViews();
      };
    },
  };
};
