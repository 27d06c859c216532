// The address holds what is shown: controls write it, `show` reads it. What models and datasets have said enters
// the page as text nodes only.

const ROWS_A_PAGE = 50;
const KEPT = 8; // files of texts in memory
const BETWEEN_LISTS = 250; // ms while a search goes on
const EXCERPT = 70; // characters on either side of what was found
const TEXTS = {
  error: "Error of the request",
  detail: "What the judge says",
  image: "Image",
  prompt: "Prompt as sent",
  completion: "Raw completion",
  answer: "Extracted answer",
  program: "Program as it was run",
  target: "Reference answer",
};
const MARKS = { correct: "✓", wrong: "✗", incomplete: "…", unscored: "?" };
const FACETS = ["text", "model", "dataset", "state", "class", "protocol", "with", "disagree"];
const PLACES = [...FACETS, "page", "pair", "sample", "repeat"];

const place = (id) => document.getElementById(id);
const controls = document.querySelector("form.filter").elements;
const number = (value) => value.toLocaleString("en");
const words = (name) => name.replaceAll("_", " ");

let index; // what data/index.js holds, see browser.py
let pairOf; // of each answer in the run, the position of its pair
let pairs; // by "model/dataset"
let hidden; // what would be invisible in a text
const opened = new Set(); // datasets marked sensitive whose texts the reader asked for

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// -- Loading ------------------------------------------------------------------------------------------------

const policy = globalThis.trustedTypes?.createPolicy("samples", { createScriptURL: (url) => url })
  ?? { createScriptURL: (url) => url };
const awaited = new Map();
const files = new Map(); // by name, the one used last at the end

globalThis.received = (name, packed) => awaited.get(name)?.(packed);

async function load(name) {
  const packed = await new Promise((resolve, reject) => {
    const script = element("script", { src: policy.createScriptURL(`data/${name}.js`) });
    awaited.set(name, resolve);
    script.onload = script.onerror = () => {
      script.remove();
      awaited.delete(name);
      reject(new Error(`data/${name}.js cannot be read. The folder data belongs beside this page.`));
    };
    document.head.append(script);
  });
  const letters = atob(packed);
  const bytes = new Uint8Array(letters.length); // filled by a loop: a search unpacks hundreds of megabytes
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  return new Response(new Response(bytes).body.pipeThrough(new DecompressionStream("deflate"))).json();
}

function file(name) {
  const found = files.get(name) ?? load(name);
  files.delete(name);
  files.set(name, found);
  if (files.size > KEPT) files.delete(files.keys().next().value);
  found.catch(() => files.delete(name));
  return found;
}

/** Return the name of the file with an answer's texts, and its place in there. */
function whereabouts(row) {
  const { pair, n } = answer(row);
  const part = pair.chunks.findLastIndex((first) => first <= n);
  return [`${pair.name.replace("/", "-")}-${part}`, n - pair.chunks[part]];
}

async function texts(row) {
  const [name, at] = whereabouts(row);
  return (await file(name))[at];
}

// -- Answers ------------------------------------------------------------------------------------------------

function prepare() {
  hidden = new RegExp(`(?:${index.hidden})+`, "gu");
  pairs = new Map();
  let rows = 0;
  for (const pair of index.pairs) {
    pair.model = index.models[pair.model];
    pair.dataset = index.datasets[pair.dataset];
    pair.protocol = index.protocols[pair.protocol];
    pair.name = `${pair.model.slug}/${pair.dataset.slug}`;
    pair.names = index.lists[pair.list];
    pair.first = rows;
    rows += pair.states.length;
    pairs.set(pair.name, pair);
  }
  pairOf = new Uint32Array(rows);
  index.pairs.forEach((pair, n) => pairOf.fill(n, pair.first, pair.first + pair.states.length));
}

function answer(row) {
  const pair = index.pairs[pairOf[row]];
  const n = row - pair.first;
  return {
    ...{ row, pair, n, id: pair.names.ids[n], repeat: pair.names.repeats[n], value: pair.values[n] },
    ...{ state: index.states[pair.states[n]], failure: index.classes[pair.classes[n]] },
  };
}

/** Return another model's pair on the same dataset. */
function otherPair(pair, model) {
  const other = pairs.get(`${model}/${pair.dataset.slug}`);
  return other === pair ? undefined : other;
}

/** Return the row of another pair's answer to the same sample. */
function twin(pair, n, other) {
  if (pair.list === other.list) return other.first + n;
  const key = (names, at) => `${names.repeats[at]} ${names.ids[at]}`;
  other.positions ??= new Map(other.names.ids.map((_, at) => [key(other.names, at), at]));
  const at = other.positions.get(key(pair.names, n));
  return at === undefined ? undefined : other.first + at;
}

function disagree(pair, n, other) {
  const row = twin(pair, n, other);
  if (row === undefined) return false;
  const at = row - other.first;
  return pair.states[n] !== other.states[at] || pair.values[n] !== other.values[at];
}

const isFolded = (pair) => pair.dataset.sensitive && !opened.has(pair.dataset.slug);

// -- The address --------------------------------------------------------------------------------------------

const wanted = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function address(changes) {
  const all = { ...wanted(), ...changes };
  return `#${new URLSearchParams(PLACES.filter((name) => all[name]).map((name) => [name, all[name]]))}`;
}

function addressOf({ pair, id, repeat }) {
  return address({ pair: pair.name, sample: id, repeat: repeat ? repeat + 1 : "", page: "" });
}

const listAddress = (changes) => address({ ...changes, pair: "", sample: "", repeat: "" });

/** Return the row that the address names. */
function namedRow(want) {
  const named = want.pair ? [pairs.get(want.pair)]
    : index.pairs.filter((pair) => fitsPair(pair, want));
  for (const pair of named) {
    const n = pair?.names.ids.findIndex(
      (id, at) => id.toWellFormed() === want.sample && pair.names.repeats[at] === (want.repeat ?? 1) - 1,
    ) ?? -1;
    if (n >= 0) return pair.first + n;
  }
  return undefined;
}

// -- Filters and search -------------------------------------------------------------------------------------

function fitsPair(pair, want) {
  return (!want.model || pair.model.slug === want.model)
    && (!want.dataset || pair.dataset.slug === want.dataset)
    && (!want.protocol || pair.protocol.id === want.protocol);
}

function filtered(want) {
  const rows = [];
  const state = index.states.indexOf(want.state);
  const failure = index.classes.indexOf(want.class);
  const besides = want.disagree ? want.with : undefined;
  for (const pair of index.pairs) {
    const other = besides ? otherPair(pair, besides) : undefined;
    if (!fitsPair(pair, want) || (besides && !other)) continue;
    for (let n = 0; n < pair.states.length; n += 1) {
      if (want.state && pair.states[n] !== state) continue;
      if (want.class && pair.classes[n] !== failure) continue;
      if (other && !disagree(pair, n, other)) continue;
      rows.push(pair.first + n);
    }
  }
  return rows;
}

const found = { rows: [], matches: [], facets: "" }; // what fits the filters; of it, what holds the text
let hunt = { text: "" }; // what is known of a text, and the search for it that goes on

function find(want) {
  const facets = JSON.stringify([FACETS.map((name) => want[name]), opened.size]);
  if (facets === found.facets) return;
  found.facets = facets;
  found.rows = filtered(want);
  const text = (want.text ?? "").trim().toLowerCase();
  const known = text === hunt.text ? hunt : { fits: new Map(), excerpts: new Map() };
  hunt = { text, fits: known.fits, excerpts: known.excerpts, done: 0, unread: 0 };
  if (text) search(hunt);
  else found.matches = found.rows;
}

/** Look through names at once, and through texts file by file. */
async function search(mine) {
  const byFile = new Map();
  for (const row of found.rows) {
    const { pair, id } = answer(row);
    if (!mine.fits.get(row)) {
      if (id.toLowerCase().includes(mine.text)) mine.fits.set(row, true);
      else if (!mine.fits.has(row) && !isFolded(pair)) {
        const [name, at] = whereabouts(row);
        if (!byFile.has(name)) byFile.set(name, []);
        byFile.get(name).push([row, at]);
      }
    }
  }
  mine.total = byFile.size;
  mine.go = async () => {
    const turn = (mine.turn = {}); // taken away by who stops it
    let listed = 0;
    for (const [name, members] of byFile) {
      const answers = await file(name).catch(complain);
      if (hunt !== mine || mine.turn !== turn) return;
      byFile.delete(name);
      mine.done += 1;
      if (answers === undefined) mine.unread += 1;
      else for (const [row, at] of members) look(mine, row, answers[at]);
      if (performance.now() - listed > BETWEEN_LISTS) {
        listed = performance.now();
        update();
      }
    }
    mine.turn = undefined;
    update();
  };
  gather();
  await mine.go();
}

function look(mine, row, sample) {
  const text = Object.keys(TEXTS).map((name) => sample[name] ?? "").find((said) => said.toLowerCase().includes(mine.text));
  mine.fits.set(row, text !== undefined);
  if (text !== undefined) {
    const at = text.toLowerCase().indexOf(mine.text);
    const end = at + mine.text.length;
    const cut = (from, to) => text.slice(Math.max(0, from), to);
    mine.excerpts.set(row, [cut(at - EXCERPT, at), cut(at, end), cut(end, end + EXCERPT)]);
  }
}

function gather() {
  if (hunt.text) found.matches = found.rows.filter((row) => hunt.fits.get(row));
}

/** Show what the search has found so far. */
function update() {
  gather();
  const want = wanted();
  if (want.sample === undefined) showList(want);
  else showWays(want);
}

// -- The list -----------------------------------------------------------------------------------------------

const pill = (state) => element("span", { className: `pill ${state}` }, `${MARKS[state]} ${state}`);

function value(one) {
  return one.value === null ? "" : `value ${one.value}`;
}

function about({ pair, id, repeat }) {
  return element("span", { className: "id" }, shown(id), repeat ? ` #${repeat + 1}` : "");
}

function line(one, want) {
  const other = want.with ? otherPair(one.pair, want.with) : undefined;
  const row = other ? twin(one.pair, one.n, other) : undefined;
  const failure = one.failure && one.failure !== one.state ? words(one.failure) : "";
  const whose = [one.pair.model.title, one.pair.dataset.title, failure, value(one)].filter(Boolean);
  const link = element("a", { href: addressOf(one) }, pill(one.state), about(one),
    element("span", { className: "about" }, shown(whose.join(" · "))));
  if (row !== undefined) {
    link.append(element("span", { className: "excerpt quiet" }, `beside ${other.model.title}: `, pill(answer(row).state)));
  }
  if (hunt.text && hunt.excerpts.has(one.row) && !isFolded(one.pair)) {
    const [before, hit, after] = hunt.excerpts.get(one.row).map(shown);
    link.append(element("span", { className: "excerpt", dir: "auto" }, before, element("mark", {}, hit), after));
  }
  link.dataset.row = one.row;
  return element("li", {}, link);
}

function showList(want) {
  const last = Math.max(1, Math.ceil(found.matches.length / ROWS_A_PAGE));
  const page = Math.min(last, Math.max(1, Number.parseInt(want.page ?? 1, 10) || 1));
  const from = (page - 1) * ROWS_A_PAGE;
  const rows = found.matches.slice(from, from + ROWS_A_PAGE);
  place("list").replaceChildren(...rows.map((row) => line(answer(row), want)));
  place("count").textContent = rows.length === 0
    ? `None of ${number(pairOf.length)} answers ${hunt.turn ? "so far" : "fits"}.`
    : `${number(from + 1)} to ${number(from + rows.length)} of ${number(found.matches.length)} that fit, of ${number(pairOf.length)} answers`;
  const [back, where, on] = place("pages").children;
  place("pages").hidden = last === 1;
  back.disabled = page === 1;
  on.disabled = page === last;
  where.textContent = `Page ${number(page)} of ${number(last)}`;
  showSearch();
}

function showSearch() {
  const [bar, said, button] = place("search").children;
  place("search").hidden = !hunt.text || (hunt.total === 0 && !hunt.unread);
  bar.max = Math.max(1, hunt.total ?? 1);
  bar.value = hunt.done;
  const ended = hunt.done === hunt.total;
  said.textContent = `${ended ? "Searched" : hunt.turn ? "Searching:" : "Stopped:"} ${number(hunt.done)} of ${number(hunt.total ?? 0)} files`
    + (hunt.unread ? `, of which ${number(hunt.unread)} could not be read` : "");
  button.hidden = ended;
  button.textContent = hunt.turn ? "Stop" : "Go on";
  const folded = hunt.text ? found.rows.filter((row) => isFolded(index.pairs[pairOf[row]]) && !hunt.fits.get(row)).length : 0;
  place("folded").hidden = folded === 0;
  place("folded").firstElementChild.textContent = `The texts of ${number(folded)} answers were not searched: their datasets are marked sensitive.`;
}

// -- One answer, alone or beside another model's ------------------------------------------------------------

/** Return a text with what would be invisible named. */
function shown(text) {
  const parts = document.createDocumentFragment();
  let at = 0;
  for (const match of text.matchAll(hidden)) {
    parts.append(text.slice(at, match.index), element("i", {}, [...match[0]].map(nameOf).join("")));
    at = match.index + match[0].length;
  }
  parts.append(text.slice(at));
  return parts;
}

function nameOf(letter) {
  const code = letter.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "␡" : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

const seconds = (s) => (s === undefined ? "–" : s < 1 ? `${(s * 1000).toPrecision(3)} ms` : `${s.toFixed(1)} s`);

function facts(one, sample) {
  const [latency, first] = [seconds(sample.latency_s), seconds(sample.ttft_s)];
  const said = [
    value(one) || "value –",
    one.failure && one.failure !== one.state ? words(one.failure) : "",
    `ended by ${sample.finish_reason}`,
    `${sample.prompt_tokens === undefined ? "–" : number(sample.prompt_tokens)} prompt tokens, ${number(sample.completion_tokens)} output tokens`,
    sample.cut_tokens ? `${number(sample.cut_tokens)} tokens cut from the prompt` : "",
    `${latency}, the first token after ${first}`,
    sample.together ? "tests ran in the program's process" : "",
    `protocol ${one.pair.protocol.id}`,
  ];
  return element("p", { className: "quiet" }, pill(one.state), " ", shown(said.filter(Boolean).join(" · ")));
}

function block(...content) {
  const made = element("pre", { tabIndex: 0 }, ...content);
  made.dir = "auto"; // with its texts in place: the browser would look for a direction at each of them
  return made;
}

function side(one, sample, name, ...content) {
  const parts = [];
  if (sample[name] === undefined) {
    const nothing = name === "answer" ? "Nothing was found that could be judged." : "Nothing.";
    parts.push(element("p", { className: "quiet" }, nothing));
  } else parts.push(block(...content));
  if (sample.clipped?.includes(name)) {
    const folder = index.files[name] === "scores.jsonl" ? one.pair.scores : one.pair.folder;
    parts.push(element("p", { className: "quiet" }, `Cut at ${number(index.clipped_at)} characters; the whole is in `,
      element("code", {}, `${folder}/${index.files[name]}`), "."));
  }
  return parts;
}

function single(one, sample) {
  const parts = [facts(one, sample)];
  for (const [name, title] of Object.entries(TEXTS)) {
    if (sample[name] === undefined && name !== "answer" && name !== "completion") continue;
    parts.push(element("h4", {}, title), ...side(one, sample, name, shown(sample[name] ?? "")));
  }
  return parts;
}

function double(one, sample, two, other) {
  const column = (head, ...content) => element("div", {}, element("h5", {}, shown(head)), ...content);
  const titles = [one.pair.model.title, two.pair.model.title];
  const agree = one.state === two.state && one.value === two.value;
  const parts = [
    element("p", {}, agree ? "The two verdicts agree." : "The two verdicts differ."),
    element("div", { className: "sides" }, column(titles[0], facts(one, sample)), column(titles[1], facts(two, other))),
  ];
  if (one.pair.protocol.id !== two.pair.protocol.id) {
    parts.unshift(element("p", { className: "apart" },
      "The two were asked or judged by different protocols: their verdicts do not compare."));
  }
  for (const [name, title] of Object.entries(TEXTS)) {
    const [left, right] = [sample[name], other[name]];
    if (left === undefined && right === undefined) continue;
    parts.push(element("h4", {}, title));
    if (left === right) {
      parts.push(element("p", { className: "quiet" }, "The same for both."), ...side(one, sample, name, shown(left)));
      continue;
    }
    const stretches = left === undefined || right === undefined ? [[true, left ?? "", right ?? ""]]
      : difference(left, right);
    const marked = (tag, at) => stretches.map((stretch) =>
      stretch[0] ? shown(stretch[at]) : element(tag, {}, shown(stretch[at])));
    parts.push(element("div", { className: "sides" },
      column(titles[0], ...side(one, sample, name, ...marked("del", 1))),
      column(titles[1], ...side(two, other, name, ...marked("ins", 2)))));
  }
  return parts;
}

async function showSample(want, row) {
  if (row === undefined) {
    place("sample-title").textContent = "There is no such answer";
    place("texts").replaceChildren();
    return;
  }
  const one = answer(row);
  place("sample-title").replaceChildren(about(one));
  const head = element("p", {}, shown(`${one.pair.model.title} on ${one.pair.dataset.title}`));
  const models = index.pairs.filter((pair) => pair.dataset === one.pair.dataset && pair !== one.pair).map((pair) => pair.model);
  const select = document.querySelector("#sample select");
  fill(select, "no other", models.map((model) => [model.slug, model.title]), want.with ?? "");
  select.parentElement.hidden = models.length === 0;
  showWays(want);
  if (isFolded(one.pair)) {
    const button = element("button", { type: "button" }, "Show its texts");
    button.addEventListener("click", () => unfold(one.pair.dataset));
    place("texts").replaceChildren(head, element("p", {}, "This dataset is marked sensitive: its texts may disturb."), button);
    return;
  }
  const other = want.with ? otherPair(one.pair, want.with) : undefined;
  const second = other ? twin(one.pair, one.n, other) : undefined;
  const asked = location.hash;
  try {
    const [sample, its] = await Promise.all([texts(row), second === undefined ? undefined : texts(second)]);
    if (location.hash !== asked) return; // the reader went on meanwhile
    place("texts").replaceChildren(head, ...(its ? double(one, sample, answer(second), its) : single(one, sample)));
    if (other && !its) head.after(element("p", { className: "quiet" }, `${other.model.title} was not asked this sample.`));
  } catch (error) {
    place("texts").replaceChildren(head);
    complain(error);
  }
}

/** Lead to the list and to the neighbours of the answer that is shown. */
function showWays(want) {
  const row = namedRow(want);
  const at = found.matches.indexOf(row);
  const page = at < 0 ? "" : Math.floor(at / ROWS_A_PAGE) + 1;
  const ways = { back: listAddress({ page: page > 1 ? page : "" }) };
  if (at > 0) ways.previous = addressOf(answer(found.matches[at - 1]));
  if (at >= 0 && at + 1 < found.matches.length) ways.next = addressOf(answer(found.matches[at + 1]));
  for (const link of document.querySelectorAll("#sample nav a")) {
    link.hidden = !(link.dataset.way in ways);
    link.href = ways[link.dataset.way] ?? "";
  }
}

// -- The page -----------------------------------------------------------------------------------------------

function unfold(dataset) {
  opened.add(dataset.slug);
  show();
}

function complain(error) {
  place("trouble").textContent = error.message;
  place("trouble").hidden = false;
}

function fill(select, none, options, chosen) {
  const known = select.dataset.options;
  const key = JSON.stringify(options);
  if (known !== key) {
    select.dataset.options = key;
    select.replaceChildren(...[["", none], ...options].map(([value, title]) => element("option", { value }, shown(title))));
  }
  select.value = chosen;
}

function fillControls(want) {
  const entries = (list, name) => list.map((one) => [one[name], one.title]).sort(([, a], [, b]) => a.localeCompare(b));
  fill(controls.model, "all", entries(index.models, "slug"), want.model ?? "");
  fill(controls.dataset, "all", entries(index.datasets, "slug"), want.dataset ?? "");
  fill(controls.state, "all", index.states.map((state) => [state, state]), want.state ?? "");
  fill(controls.class, "anything", index.classes.map((name) => [name, words(name)]), want.class ?? "");
  fill(controls.protocol, "all", index.protocols.map((way) => [way.id, `${way.id}: ${way.title}`]), want.protocol ?? "");
  fill(controls.with, "no other", entries(index.models, "slug"), want.with ?? "");
  if (document.activeElement !== controls.text) controls.text.value = want.text ?? "";
  controls.disagree.checked = Boolean(want.disagree);
  controls.disagree.disabled = !want.with;
}

let before; // the row that was shown last, null for the list
let followed; // the address that is shown

/** Show what the address names; a key may be pressed before the browser tells that it has changed. */
function follow() {
  if (location.hash !== followed) show();
}

function show() {
  followed = location.hash;
  const want = wanted();
  place("trouble").hidden = true;
  find(want);
  const alone = want.sample !== undefined;
  place("browse").hidden = alone;
  place("sample").hidden = !alone;
  document.title = `${alone ? want.sample : "All samples"} – snakeval report`;
  const row = alone ? namedRow(want) : null;
  if (alone) {
    showSample(want, row);
    if (before !== undefined && before !== row) place("sample-title").focus();
  } else {
    fillControls(want);
    showList(want);
    if (before !== null) place("list").querySelector(`a[data-row="${before}"]`)?.focus();
  }
  before = row;
}

function written() {
  const entries = FACETS.map((name) => [name, name === "disagree" ? (controls.disagree.checked && controls.with.value ? "1" : "") : controls[name].value]);
  return listAddress({ ...Object.fromEntries(entries), page: "" });
}

let waiting;
document.querySelector("form.filter").addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => location.replace(written()), event.target === controls.text ? 300 : 0);
});
document.querySelector("form.filter").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  location.replace(written());
});
document.querySelector("#sample select").addEventListener("change", (event) => {
  location.replace(address({ with: event.target.value, disagree: event.target.value && wanted().disagree }));
});
place("pages").addEventListener("click", (event) => {
  const step = Number(event.target.dataset.step);
  if (!step) return;
  const page = Number.parseInt(wanted().page ?? 1, 10) + step;
  location.hash = address({ page: page > 1 ? page : "" });
  place("count").scrollIntoView({ block: "nearest" });
});
place("search").querySelector("button").addEventListener("click", () => {
  if (hunt.turn) hunt.turn = undefined;
  else hunt.go();
  showSearch();
});
place("folded").querySelector("button").addEventListener("click", () => {
  for (const row of found.rows) opened.add(answer(row).pair.dataset.slug);
  show();
});
addEventListener("keydown", (event) => {
  if (place("sample").hidden || event.target.matches("input, select") || event.altKey || event.ctrlKey || event.metaKey) return;
  follow();
  const way = { Escape: "back", ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  const link = way && document.querySelector(`#sample nav a[data-way=${way}]:not([hidden])`);
  if (link) link.click();
});
addEventListener("hashchange", follow);

file("index").then((found) => {
  index = found;
  prepare();
  show();
}).catch(complain);
