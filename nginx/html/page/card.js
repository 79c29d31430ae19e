// One photograph: its picture, what it shows, and where the time went; or why there is no answer.

import {bytes, milliseconds, percent} from './text.js';

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function prediction({label, probability}) {
  const row = clone('prediction');
  row.querySelector('.label').textContent = label;
  row.querySelector('.percent').textContent = percent(probability);
  row.querySelector('.bar').style.width = `${100 * probability}%`;
  return row;
}

function segment({name, ms}) {
  const part = document.createElement('span');
  part.className = `stage-${name}`;
  part.style.flexGrow = ms;
  return part;
}

function legend({name, ms}) {
  const row = clone('stage');
  row.querySelector('.swatch').classList.add(`stage-${name}`);
  row.querySelector('.name').textContent = name;
  row.querySelector('.ms').textContent = milliseconds(ms);
  return row;
}

export class Card {
  constructor(file) {
    this.file = file;
    this.root = clone('card');
    this.find = (selector) => this.root.querySelector(selector);
    this.root.setAttribute('aria-label', file.name);
    this.url = URL.createObjectURL(file);
    this.find('h2').textContent = file.name;
    this.retry = this.find('button');
    this.retry.setAttribute('aria-label', `Try again: ${file.name}`);
    const image = this.find('img');
    image.addEventListener('error', () => this.find('.picture').classList.add('none'));
    image.src = this.url;
  }

  remove() {
    URL.revokeObjectURL(this.url);
    this.root.remove();
  }

  #show(...selectors) {
    for (const part of ['.waiting', '.predictions', '.failure', '.stages', '.facts', 'button']) {
      this.find(part).hidden = !selectors.includes(part);
    }
  }

  showWaiting(text) {
    this.find('.waiting').textContent = text;
    this.#show('.waiting');
    this.root.setAttribute('aria-busy', 'true');
  }

  // Returns the sentence that a screen reader is to say.
  showAnswer(answer) {
    this.root.removeAttribute('aria-busy');
    return answer.ok ? this.#showPredictions(answer) : this.#showFailure(answer);
  }

  #showPredictions({predictions, stages, roundTripMs, servedBy, requestId}) {
    const spoken = stages.map(({name, ms}) => `${name} ${milliseconds(ms)}`).join(', ');
    this.find('.predictions').replaceChildren(...predictions.map(prediction));
    this.find('.stage-bar').replaceChildren(...stages.map(segment));
    this.find('.stage-bar').setAttribute('aria-label', `Stages: ${spoken}`);
    this.find('.legend').replaceChildren(...stages.map(legend));
    this.find('.facts').textContent = [
      `${milliseconds(roundTripMs)} there and back`, bytes(this.file.size),
      servedBy && `worker ${servedBy}`].filter(Boolean).join(' · ') + `\nrequest ${requestId}`;
    this.#show('.predictions', '.facts', stages.length ? '.stages' : '');
    const [first] = predictions;
    return `${this.file.name}: ${first.label}, ${percent(first.probability)}`;
  }

  #showFailure({error, status, requestId}) {
    this.find('.failure').textContent = error;
    this.find('.facts').textContent = [
      status ? `HTTP ${status}` : 'no answer', bytes(this.file.size)].join(' · ') +
      (requestId ? `\nrequest ${requestId}` : '');
    // what is wrong with the picture itself stays wrong
    this.#show('.failure', '.facts', status === 0 || status === 429 || status >= 500 ? 'button' : '');
    return `${this.file.name}: ${error}`;
  }
}
