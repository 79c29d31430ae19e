// Numbers and words as a person reads them.

const NARROW = '\u202f'; // a no-break space, narrow: "3.1 ms" stays in one piece

export function percent(probability) {
  const value = 100 * probability;
  if (value > 0 && value < 0.1) return `<0.1${NARROW}%`;
  if (value > 99.9 && value < 100) return `>99.9${NARROW}%`;
  return `${value.toFixed(1)}${NARROW}%`;
}

export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)}${NARROW}s`;
  if (ms >= 100) return `${Math.round(ms)}${NARROW}ms`;
  if (ms >= 10) return `${ms.toFixed(1)}${NARROW}ms`;
  return `${ms.toFixed(2)}${NARROW}ms`;
}

export function bytes(n) {
  if (n >= 1 << 20) return `${(n / (1 << 20)).toFixed(1)}${NARROW}MiB`;
  return `${Math.max(1, Math.round(n / 1024))}${NARROW}KiB`;
}
