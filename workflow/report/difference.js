"use strict";
// Where two texts differ: first by lines, then by words in the lines that changed.

const EFFORT = 1000; // differences looked for before two sequences count as wholly different

/** Return [same, part of `left`, part of `right`] for each stretch of two texts. */
function difference(left, right) {
  const lines = (text) => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const words = (text) => text.match(/[\p{L}\p{N}_]+|\s+|./gsu) ?? [];
  return stretches(lines(left), lines(right)).flatMap(([same, a, b]) =>
    same ? [[same, a.join(""), b.join("")]]
      : stretches(words(a.join("")), words(b.join(""))).map(([alike, c, d]) => [alike, c.join(""), d.join("")]),
  );
}

/** Return [same, slice of `a`, slice of `b`] for each stretch of two sequences. */
function stretches(a, b) {
  let head = 0;
  while (head < Math.min(a.length, b.length) && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const matches = [
    ...Array.from({ length: head }, (_, i) => [i, i]),
    ...common(a.slice(head, a.length - tail), b.slice(head, b.length - tail)).map(([i, j]) => [head + i, head + j]),
    ...Array.from({ length: tail }, (_, i) => [a.length - tail + i, b.length - tail + i]),
  ];
  const found = [];
  let [i, j] = [0, 0];
  for (const [x, y] of [...matches, [a.length, b.length]]) {
    if (x > i || y > j) found.push([false, a.slice(i, x), b.slice(j, y)]);
    if (x < a.length) {
      if (!found.at(-1)?.[0]) found.push([true, [], []]);
      found.at(-1)[1].push(a[x]);
      found.at(-1)[2].push(b[y]);
    }
    [i, j] = [x + 1, y + 1];
  }
  return found;
}

/** Return the positions of a longest common subsequence: Myers, "An O(ND) Difference Algorithm", 1986. */
function common(a, b) {
  const most = Math.min(a.length + b.length, EFFORT);
  const reached = new Int32Array(2 * most + 3); // by diagonal: how far `a` was read
  const middle = most + 1;
  const steps = [];
  for (let d = 0; d <= most; d += 1) {
    steps.push(reached.slice(middle - d - 1, middle + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reached[middle + k - 1] < reached[middle + k + 1]);
      let x = down ? reached[middle + k + 1] : reached[middle + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      reached[middle + k] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(steps, a.length, b.length);
    }
  }
  return [];
}

function walkBack(steps, x, y) {
  const matches = [];
  for (let d = steps.length - 1; d >= 0; d -= 1) {
    const before = (k) => steps[d][k + d + 1];
    const k = x - y;
    const from = k === -d || (k !== d && before(k - 1) < before(k + 1)) ? k + 1 : k - 1;
    const [fromX, fromY] = [before(from), before(from) - from];
    while (x > fromX && y > fromY && x > 0 && y > 0) matches.push([(x -= 1), (y -= 1)]);
    [x, y] = [fromX, fromY];
  }
  return matches.reverse();
}
