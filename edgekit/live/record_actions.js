// Keys of the recorder: they work once something of it was clicked, and never while somebody types.
export default {
  render({ model, el }) {
    let root = null;
    let frame = 0;
    el.className = "edgekit-keys";
    const describe = () => (el.textContent = model.get("description"));
    describe();
    model.on("change:description", describe);

    const press = (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      if (event.target.closest("input, textarea, select")) return;
      if (!model.get("wanted").includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      model.send({ key: event.key });
    };
    // A pressed button is locked at once and would take the keys with it.
    const hold = (event) => {
      if (!event.target.closest("input, textarea, select")) root.focus({ preventScroll: true });
    };
    const find = () => {
      root = el.closest(".edgekit-record");
      if (!root) {
        frame = requestAnimationFrame(find);
        return;
      }
      root.tabIndex = -1;
      root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own: "1" would make a heading of the cell
      root.addEventListener("keydown", press);
      root.addEventListener("click", hold);
    };
    find();
    return () => {
      cancelAnimationFrame(frame);
      model.off("change:description", describe);
      root?.removeEventListener("keydown", press);
      root?.removeEventListener("click", hold);
    };
  },
};
