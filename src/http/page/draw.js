// A canvas to draw a digit on, with finger, pen, mouse or keys.

const PEN = 22;
const STEP = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Calls `drawn` with a PNG after each stroke, and `wiped` when the canvas is empty again. */
export function easel(canvas, { drawn, wiped }) {
  const context = canvas.getContext("2d");
  let pen = null;
  let cursor = [canvas.width / 2, canvas.height / 2];
  let lowered = false;

  const ground = () => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
  };
  const line = (from, to) => {
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  };
  const place = ({ clientX, clientY }) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [((clientX - left) * canvas.width) / width, ((clientY - top) * canvas.height) / height];
  };
  const done = () => canvas.toBlob((picture) => drawn(picture), "image/png");

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pen = place(event);
    line(pen, pen);
  };
  canvas.onpointermove = (event) => {
    if (!pen) return;
    for (const step of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(step);
      line(pen, next);
      pen = next;
    }
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (pen) done();
    pen = null;
  };

  canvas.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (event.key === " ") {
      lowered = !lowered;
      if (lowered) line(cursor, cursor);
      else done();
    } else if (arrow) {
      const inside = (at, by, length) => Math.min(Math.max(at + by * STEP, PEN), length - PEN);
      const next = [inside(cursor[0], arrow[0], canvas.width), inside(cursor[1], arrow[1], canvas.height)];
      if (lowered) line(cursor, next);
      cursor = next;
    } else {
      return;
    }
    canvas.ariaLabel = `Canvas for a digit; pen ${lowered ? "down" : "up"}, ${Math.round(cursor[0])} from the left, ${Math.round(cursor[1])} from the top`;
    event.preventDefault();
  };

  ground();
  return () => {
    ground();
    cursor = [canvas.width / 2, canvas.height / 2];
    lowered = false;
    wiped();
  };
}
