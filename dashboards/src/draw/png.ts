// A PNG of at most 256 colours: a drawing has few, and its file is a third as large as one with all of them.

import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const INDEXED = 3;
const COLOURS = 256;

function chunk(kind: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

const channels = (colour: number): [number, number, number] => [colour >> 16, (colour >> 8) & 0xff, colour & 0xff];

function distance(a: number, b: number): number {
  const [other, own] = [channels(b), channels(a)];
  return own.reduce((sum, value, index) => sum + (value - (other[index] ?? 0)) ** 2, 0);
}

// For every colour of the drawing its place among the most frequent ones: itself, or the nearest.
function palette(pixels: Uint32Array): [number[], Map<number, number>] {
  const counts = new Map<number, number>();
  for (const pixel of pixels) {
    counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  }
  const kept = [...counts.entries()].sort((a, b) => b[1] - a[1]).slice(0, COLOURS).map(([colour]) => colour);
  const nearest = (colour: number): number => kept.reduce((best, candidate, index) => (distance(candidate, colour) < distance(kept[best] ?? 0, colour) ? index : best), 0);
  return [kept, new Map([...counts.keys()].map((colour) => [colour, nearest(colour)]))];
}

// `rgba`: four bytes per pixel, of which the last is not looked at.
export function png(width: number, height: number, rgba: Buffer): Buffer {
  const pixels = Uint32Array.from({ length: width * height }, (_, index) => rgba.readUInt32BE(index * 4) >>> 8);
  const [colours, places] = palette(pixels);
  // Each line begins with its filter: none.
  const lines = Buffer.alloc(height * (width + 1));
  pixels.forEach((pixel, index) => lines.writeUInt8(places.get(pixel) ?? 0, index + Math.floor(index / width) + 1));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, INDEXED, 0, 0, 0], 8);
  const colourTable = Buffer.from(colours.flatMap(channels));
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('PLTE', colourTable), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}
