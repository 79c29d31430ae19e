// How the service fares: the public /status, asked every two seconds while the page can be seen.

import {status} from './server.js';
import {milliseconds} from './text.js';

const EVERY_MS = 2_000;
const EVERY_MS_WHILE_GONE = 8_000;
const SAMPLES = 60; // two minutes

const $ = (id) => document.getElementById(id);

// Samples from left to right, the newest at the right edge; 20 units high.
function draw(line, samples, least) {
  const most = Math.max(least, ...samples.filter((y) => y !== null));
  const first = SAMPLES - samples.length;
  const points = [];
  samples.forEach((y, i) => {
    if (y === null) return;
    const height = 19 - (18 * y) / most;
    points.push(`${first + i},${height}`, `${first + i + 1},${height}`);
  });
  line.setAttribute('points', points.join(' '));
}

class Series {
  constructor(id, least) {
    this.line = $(id);
    this.least = least; // what fills the height, unless a sample is larger
    this.samples = [];
  }

  add(value) {
    this.samples = [...this.samples, value].slice(-SAMPLES);
    draw(this.line, this.samples, this.least);
  }
}

const series = {
  busy: new Series('spark-busy', 1),
  depth: new Series('spark-depth', 4),
  latency: new Series('spark-latency', 50),
};

function show({workers, queue, service_ms: latency}) {
  $('live-busy').textContent = `${workers.busy} of ${workers.ready}`;
  $('live-depth').textContent = queue.depth ?? 'unknown';
  $('live-latency').textContent = latency === null ? '–' : milliseconds(latency);
  series.busy.least = Math.max(1, workers.ready);
  series.busy.add(workers.busy);
  series.depth.add(queue.depth);
  series.latency.add(latency);
}

function showNothing() {
  for (const id of ['live-busy', 'live-depth', 'live-latency']) $(id).textContent = '–';
  for (const one of Object.values(series)) one.add(null);
}

let turn = 0; // the page was hidden or shown so many times: an older poll does not go on

async function poll(mine) {
  const answer = await status();
  if (mine !== turn) return;
  $('live-note').textContent = answer.ok ? 'The last two minutes.'
      : `No news: ${answer.body.error}`;
  if (answer.ok) show(answer.body);
  else showNothing();
  setTimeout(() => mine === turn && poll(mine), answer.ok ? EVERY_MS : EVERY_MS_WHILE_GONE);
}

function restart() {
  turn++;
  if (!document.hidden) poll(turn);
}

export function startLive() {
  document.addEventListener('visibilitychange', restart);
  restart();
}
