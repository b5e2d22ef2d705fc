// The browser's side of the live picture. Pictures come as binary JPEG. Each one is answered once it has been
// shown; until then the kernel holds the next ones back. Nothing is kept but the picture on display.

// When a notebook is closed while its kernel runs on, JupyterLab cuts the connection first and removes the
// views after it: a last word then needs a connection of its own. Elsewhere the kernel notices the silence.
function sayOnOwnConnection(content, { kernel, comm }) {
  const config = document.getElementById("jupyter-config-data");
  if (!config || !kernel) return;
  const { baseUrl = "/", token = "" } = JSON.parse(config.textContent);
  const session = String(Math.random());
  const url = new URL(`${baseUrl}api/kernels/${kernel}/channels`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ session_id: session, ...(token && { token }) });
  const socket = new WebSocket(url);
  socket.onopen = () => {
    const header = { msg_id: session, msg_type: "comm_msg", username: "", session, date: new Date(), version: "5.3" };
    const data = { method: "custom", content };
    const rest = { parent_header: {}, metadata: {}, content: { comm_id: comm, data }, buffers: [] };
    socket.send(JSON.stringify({ channel: "shell", header, ...rest }));
    setTimeout(() => socket.close(), 2000);
  };
}

export default () => {
  let model;
  const page = crypto.randomUUID?.() ?? String(Math.random());
  const canvases = new Set();
  let waiting = null; // { number, bitmap } that the next animation frame shows
  let animation = 0;
  let shown = 0;
  let left = false; // the page is being closed; it becomes hidden after that

  const say = (message) => {
    try {
      model.send({ page, hidden: document.hidden, ...message });
    } catch {
      if (message.views === 0) sayOnOwnConnection({ page, ...message }, model.get("address"));
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
    if (message.kind !== "picture" || !canvases.size || left) return;
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
    if (canvases.size && !left) tellViews();
  };
  const leave = () => {
    left = true;
    say({ kind: "views", views: 0 });
  };
  const comeBack = () => {
    if (left && canvases.size) tellViews();
    left = false;
  };

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
