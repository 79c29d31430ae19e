// What the server is asked, and what it said. Nothing here throws: an answer that is none comes
// back as a sentence, so that who shows it needs one way only.

const ANSWER_MS = 180_000; // longer than any budget and nginx's time-out on top of it
const STATUS_MS = 5_000;

// "queue;dur=0.100, read;dur=2.5" -> [{name: 'queue', ms: 0.1}, {name: 'read', ms: 2.5}]
export function stagesOf(serverTiming) {
  const stages = [];
  for (const [, name, ms] of (serverTiming ?? '').matchAll(/([a-z]+);dur=([\d.]+)/g)) {
    stages.push({name, ms: Number(ms)});
  }
  return stages;
}

// {ok, status, body}: body is the JSON; status 0 where there was no answer at all.
async function ask(path, timeoutMs, options) {
  try {
    const response = await fetch(path, {...options, signal: AbortSignal.timeout(timeoutMs)});
    return {ok: response.ok, status: response.status, headers: response.headers,
            body: await response.json()};
  } catch (error) {
    const late = error.name === 'TimeoutError';
    return {ok: false, status: 0, headers: new Headers(),
            body: {error: late ? `The server did not answer within ${timeoutMs / 1000} s.`
                               : 'The server cannot be reached, or broke off. Is it running?'}};
  }
}

// A photograph as it is: the server tells by its first bytes what it is.
export async function classify(file) {
  const start = performance.now();
  const answer = await ask('predict?top_k=5', ANSWER_MS, {
    method: 'POST', headers: {'Content-Type': 'application/octet-stream'}, body: file});
  const {body, headers, status} = answer;
  return {
    ok: answer.ok && Array.isArray(body.predictions),
    status,
    error: body.error ?? 'The answer is not one that this page understands.',
    predictions: body.predictions,
    model: body.model,
    requestId: body.request_id,
    servedBy: headers.get('X-Served-By'),
    stages: stagesOf(headers.get('Server-Timing')),
    roundTripMs: performance.now() - start,
  };
}

export function health() {
  return ask('health', STATUS_MS, {cache: 'no-store'});
}

export function status() {
  return ask('status', STATUS_MS, {cache: 'no-store'});
}
