'use strict';

const $ = (id) => document.getElementById(id);

function row({label, probability}) {
  const tr = document.createElement('tr');
  const name = tr.insertCell();
  const value = tr.insertCell();
  const meter = document.createElement('meter');
  name.textContent = label;
  meter.value = probability;
  value.append(meter, ` ${(100 * probability).toFixed(1)} %`);
  return tr;
}

async function classify(file) {
  URL.revokeObjectURL($('picture').src);
  $('picture').src = URL.createObjectURL(file);
  $('picture').hidden = false;
  $('hint').hidden = true;
  $('answer').hidden = true;
  $('message').textContent = '…';
  const start = performance.now();
  try {
    const response = await fetch('predict?top_k=5',
        {method: 'POST', headers: {'Content-Type': file.type}, body: file});
    const answer = await response.json();
    if (!answer.success) {
      $('message').textContent = `${response.status}: ${answer.error}`;
      return;
    }
    $('rows').replaceChildren(...answer.predictions.map(row));
    $('answer').hidden = false;
    $('message').textContent = `${Math.round(performance.now() - start)} ms`;
    $('model').textContent = `${answer.model} ${answer.version}`;
  } catch (error) {
    $('message').textContent = `no answer: ${error.message}`;
  }
}

$('file').addEventListener('change', () => {
  if ($('file').files.length) classify($('file').files[0]);
});
for (const name of ['dragover', 'dragleave', 'drop']) {
  $('drop').addEventListener(name, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', name === 'dragover');
    if (name === 'drop' && event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
  });
}
