// QR codes (ISO/IEC 18004): bytes, error correction M, versions 1 to 20.

/** Error correction codewords of each block, and blocks, by version (table 9, level M). */
const CODEWORDS = [0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];

/**
 * The eight masks (table 10): whether the module at x, y is inverted.
 * @type {((x: number, y: number) => boolean)[]}
 */
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

// GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1.
const EXP = [1];
for (let i = 1; i < 255; i += 1) EXP.push((EXP[i - 1] << 1) ^ (EXP[i - 1] & 128 ? 0x11d : 0));
const LOG = Object.fromEntries(EXP.map((value, i) => [value, i]));
const times = (/** @type {number} */ a, /** @type {number} */ b) => (a && b ? EXP[(LOG[a] + LOG[b]) % 255] : 0);

/**
 * The Reed-Solomon remainder of data, `degree` bytes long.
 * @param {number[]} data @param {number} degree
 * @returns {number[]}
 */
function remainder(data, degree) {
  let divisor = [1];
  for (let i = 0; i < degree; i += 1) {
    const next = [...divisor, 0];
    divisor.forEach((value, j) => { next[j + 1] ^= times(value, EXP[i]); });
    divisor = next;
  }
  const rest = new Array(degree).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    for (let i = 0; i < degree; i += 1) rest[i] ^= times(divisor[i + 1], factor);
  }
  return rest;
}

/** Bytes of data and error correction that a version holds. */
function capacity(/** @type {number} */ version) {
  const aligned = version > 1 ? Math.floor(version / 7) + 2 : 0;
  let bits = (16 * version + 128) * version + 64;
  if (aligned) bits -= (25 * aligned - 10) * aligned - 55;
  if (version > 6) bits -= 36;
  return Math.floor(bits / 8);
}

/** The centres of the alignment patterns, on either axis. */
function centres(/** @type {number} */ version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
  const found = [6];
  for (let at = version * 4 + 10; found.length < count; at -= step) found.splice(1, 0, at);
  return found;
}

/**
 * The codewords of a text: its data and their error correction, interleaved.
 * @param {Uint8Array} bytes @param {number} version
 */
function codewords(bytes, version) {
  const blocks = BLOCKS[version];
  const checks = CODEWORDS[version];
  const total = capacity(version);
  const room = total - blocks * checks;
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ length) => { for (let i = length - 1; i >= 0; i -= 1) bits.push((value >> i) & 1); };
  put(4, 4); // byte mode
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, room * 8 - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < room * 8; pad ^= 0xec ^ 0x11) put(pad, 8);
  const data = [];
  for (let i = 0; i < bits.length; i += 8) data.push(parseInt(bits.slice(i, i + 8).join(''), 2));
  const short = Math.floor(total / blocks) - checks;
  const long = total % blocks;
  const parts = [];
  for (let i = 0, at = 0; i < blocks; i += 1) {
    const part = data.slice(at, at + short + (i < blocks - long ? 0 : 1));
    at += part.length;
    parts.push({ part, check: remainder(part, checks) });
  }
  const result = [];
  for (let i = 0; i <= short; i += 1) for (const { part } of parts) if (i < part.length) result.push(part[i]);
  for (let i = 0; i < checks; i += 1) for (const { check } of parts) result.push(check[i]);
  return result;
}

/**
 * Remainder of a BCH code: format (10 bits) and version (12 bits) information.
 * @param {number} value @param {number} generator @param {number} length
 */
function bch(value, generator, length) {
  let rest = value << length;
  for (let i = 31 - Math.clz32(rest); i >= length; i = 31 - Math.clz32(rest || 1)) rest ^= generator << (i - length);
  return (value << length) | rest;
}

/** How hard a code is to read (7.8.3.1): long runs, squares, finder-like patterns, imbalance. */
function penalty(/** @type {boolean[][]} */ rows) {
  const size = rows.length;
  let sum = 0;
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  for (const lines of [rows, columns]) {
    for (const line of lines) {
      const text = line.map(Number).join('');
      for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
      sum += 40 * (text.match(/(?=10111010000|00001011101)/g) ?? []).length;
    }
  }
  let dark = 0;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      dark += Number(rows[y][x]);
      if (x && y && rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) sum += 3;
    }
  }
  return sum + 10 * Math.floor(Math.abs((dark * 20) / (size * size) - 10));
}

/** @param {number} version @param {number[]} words @param {number} mask */
function draw(version, words, mask) {
  const size = version * 4 + 17;
  /** @type {boolean[][]} */
  const rows = Array.from({ length: size }, () => new Array(size).fill(false));
  const fixed = rows.map((row) => [...row]);
  const set = (/** @type {number} */ x, /** @type {number} */ y, /** @type {unknown} */ dark) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    rows[y][x] = Boolean(dark);
    fixed[y][x] = true;
  };
  for (let i = 0; i < size; i += 1) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const places = centres(version);
  places.forEach((cx, i) => places.forEach((cy, j) => {
    const last = places.length - 1;
    if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return;
    for (let dy = -2; dy <= 2; dy += 1) for (let dx = -2; dx <= 2; dx += 1) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }));
  const format = bch(mask, 0x537, 10) ^ 0x5412; // level M is 00
  const bit = (/** @type {number} */ value, /** @type {number} */ i) => (value >> i) & 1;
  for (let i = 0; i <= 5; i += 1) set(8, i, bit(format, i));
  set(8, 7, bit(format, 6));
  set(8, 8, bit(format, 7));
  set(7, 8, bit(format, 8));
  for (let i = 9; i < 15; i += 1) set(14 - i, 8, bit(format, i));
  for (let i = 0; i < 8; i += 1) set(size - 1 - i, 8, bit(format, i));
  for (let i = 8; i < 15; i += 1) set(8, size - 15 + i, bit(format, i));
  set(8, size - 8, true);
  if (version > 6) {
    const about = bch(version, 0x1f25, 12);
    for (let i = 0; i < 18; i += 1) {
      const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
      set(a, b, bit(about, i));
      set(b, a, bit(about, i));
    }
  }
  let at = 0;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right = 5;
    for (let i = 0; i < size; i += 1) {
      const y = (right + 1) & 2 ? i : size - 1 - i;
      for (const x of [right, right - 1]) {
        if (fixed[y][x]) continue;
        const dark = at < words.length * 8 && (words[at >> 3] >> (7 - (at & 7))) & 1;
        rows[y][x] = Boolean(dark) !== MASKS[mask](x, y);
        at += 1;
      }
    }
  }
  return rows;
}

/**
 * The modules of a text's QR code: rows of booleans, true being dark. Throws RangeError for more than 666 bytes.
 * @param {string} text
 * @param {number} [mask] 0 to 7; without it the one that is read best.
 * @returns {boolean[][]}
 */
export function qr(text, mask) {
  const bytes = new TextEncoder().encode(text);
  const fits = (/** @type {number} */ version) => capacity(version) - BLOCKS[version] * CODEWORDS[version] >= bytes.length + (version < 10 ? 2 : 3);
  const version = BLOCKS.findIndex((_, i) => i > 0 && fits(i));
  if (version < 0) throw new RangeError('too long for a QR code');
  const words = codewords(bytes, version);
  if (mask !== undefined) return draw(version, words, mask);
  const codes = MASKS.map((_, i) => draw(version, words, i));
  return codes.reduce((best, next) => (penalty(next) < penalty(best) ? next : best));
}

/**
 * A QR code as an SVG element, four light modules around it.
 * @param {string} text
 */
export function qrElement(text) {
  const rows = qr(text);
  const size = rows.length + 8;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  svg.setAttribute('role', 'img');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ''))).join(''));
  svg.append(path);
  return svg;
}
