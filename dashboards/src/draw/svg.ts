// SVG as text, and how wide a text is going to be.

export type Attributes = Record<string, string | number>;

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
const short = (value: string | number): string => (typeof value === 'number' ? String(Math.round(value * 100) / 100) : value);

export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(short(value))}"`);
  return `<${name}${written.join('')}>${children.join('')}</${name}>`;
}

export function box(x: number, y: number, width: number, height: number, fill: string, more: Attributes = {}): string {
  return element('rect', { x, y, width: Math.max(width, 0), height: Math.max(height, 0), fill, ...more });
}

export function line(x1: number, y1: number, x2: number, y2: number, stroke: string, more: Attributes = {}): string {
  return element('line', { x1, y1, x2, y2, stroke, 'stroke-width': 1, ...more });
}

export function words(x: number, y: number, text: string, size: number, fill: string, more: Attributes = {}): string {
  return element('text', { x, y, 'font-size': size, fill, ...more }, escaped(text));
}

// About: DejaVu Sans, in which the pictures are set.
export function width(text: string, size: number): number {
  const narrow = (text.match(/[ijl.,:;'|!()\[\] ]/g) ?? []).length;
  const wide = (text.match(/[mwMW@%]/g) ?? []).length;
  return size * (0.62 * text.length - 0.26 * narrow + 0.25 * wide);
}

// The text, or as much of it as fits.
export function fitting(text: string, size: number, space: number): string {
  if (width(text, size) <= space) {
    return text;
  }
  let kept = text.length - 1;
  while (kept > 0 && width(`${text.slice(0, kept)}…`, size) > space) {
    kept -= 1;
  }
  return kept > 0 ? `${text.slice(0, kept)}…` : '';
}
