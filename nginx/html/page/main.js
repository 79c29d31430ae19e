// The page: photographs that are chosen, dropped or pasted are classified one after the other.

import {Card} from './card.js';
import {startLive} from './live.js';
import {classify, health} from './server.js';

const MOST_CARDS = 24; // pictures are kept in memory; the oldest make room

const $ = (id) => document.getElementById(id);
const cards = [];
const waiting = [];
let working = false;

function introduce(model) {
  $('model').textContent = `${model}, on this server’s own processors`;
  $('synthetic').hidden = !/synthetic/i.test(model);
}

async function work() {
  if (working) return;
  working = true;
  for (let card; (card = waiting.shift());) {
    card.showWaiting('Looking at it');
    const answer = await classify(card.file);
    $('announcement').textContent = card.showAnswer(answer);
    if (answer.model) introduce(answer.model);
  }
  working = false;
}

function enqueue(card) {
  card.showWaiting('Waiting for its turn');
  waiting.push(card);
  work();
}

function makeCard(file) {
  const card = new Card(file);
  card.retry.addEventListener('click', () => {
    card.root.focus(); // the button goes away under the focus
    enqueue(card);
  });
  return card;
}

// The newest batch comes first, each batch in its own order.
function add(files) {
  const batch = files.slice(0, MOST_CARDS).map(makeCard);
  cards.unshift(...batch);
  $('results').prepend(...batch.map((card) => card.root));
  for (const card of cards.splice(MOST_CARDS)) {
    const place = waiting.indexOf(card);
    if (place >= 0) waiting.splice(place, 1);
    card.remove();
  }
  batch.forEach(enqueue);
}

function watchFiles() {
  $('files').addEventListener('change', () => {
    add([...$('files').files]);
    $('files').value = ''; // the same file may be chosen again
  });
  document.addEventListener('paste', (event) => {
    add([...event.clipboardData.files]);
  });
}

// Files may be dropped anywhere; nothing else that is dragged is any of our business.
function watchDrops() {
  const over = (on) => $('pick').classList.toggle('over', on);
  document.addEventListener('dragover', (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    over(true);
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) over(false);
  });
  document.addEventListener('drop', (event) => {
    over(false);
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
}

watchFiles();
watchDrops();
startLive();
const {ok, body} = await health();
if (ok && body.model) introduce(body.model);
