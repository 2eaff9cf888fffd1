// Evidence as colours over a picture; the same as the service's own heat map.

// Inferno, a colour map whose lightness rises evenly.
const STOPS = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];
// Its ends would be lost on black and on white pictures.
const [DARKEST, LIGHTEST] = [0.15, 0.85];
const COVER = 0.7;
const FULL = 0.45;
const LONGEST_SIDE = 256;

function colour(strength) {
  const at = (DARKEST + (LIGHTEST - DARKEST) * strength) * (STOPS.length - 1);
  const first = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[first].map((from, i) => from + (STOPS[first + 1][i] - from) * (at - first));
}

/** Whether a point lies in a rectangle with margins. */
const within = ({ x: left, y: top, width, height }, x, y, [across, down] = [0, 0]) =>
  x >= left - across && y >= top - down && x <= left + width + across && y <= top + height + down;

/** Evidence at a point of the picture: bilinear, and none where the network was shown nothing. */
function evidence({ width, height, strengths, area, shown }, x, y) {
  const half = [area.width / width / 2, area.height / height / 2];
  if (!within(shown, x, y) || !within(area, x, y, half)) return 0;
  const place = (at, count) => {
    const cell = Math.min(Math.max(at * count - 0.5, 0), count - 1);
    const first = Math.floor(cell);
    return [first, Math.min(first + 1, count - 1), cell - first];
  };
  const [left, right, across] = place((x - area.x) / area.width, width);
  const [top, bottom, down] = place((y - area.y) / area.height, height);
  const row = (line) => strengths[line * width + left] * (1 - across) + strengths[line * width + right] * across;
  return row(top) * (1 - down) + row(bottom) * down;
}

/** Paints the map over a picture of `image.width` × `image.height` pixels. */
export function paint(canvas, map, image) {
  const zoom = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * zoom));
  canvas.height = Math.max(1, Math.round(image.height * zoom));
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let y = 0, at = 0; y < canvas.height; y++) {
    for (let x = 0; x < canvas.width; x++, at += 4) {
      const strength = evidence(map, ((x + 0.5) * image.width) / canvas.width, ((y + 0.5) * image.height) / canvas.height);
      const ramp = Math.min(strength / FULL, 1);
      pixels.data.set(colour(strength), at);
      pixels.data[at + 3] = 255 * COVER * ramp * ramp * (3 - 2 * ramp);
    }
  }
  context.putImageData(pixels, 0, 0);
}
