/**
 * The logo of the sign-in page, looked at before any node gets it: a small picture and nothing else. It is shown by
 * `<img>`, where a drawing runs no script and fetches nothing; that it has none of both is checked all the same, since it
 * has an address of its own.
 */
import { crc32 } from 'node:zlib';
import { readPublicFile } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { logoBytesMax, type Policy } from '#shared/link/messages.ts';

type Logo = NonNullable<Policy['branding']['logo']>;
type Why = { readonly message: string; readonly hint: string };

/** Drawn 28 pixels high; what is larger is not meant for that. */
const pngPixelsMax = 1024;

/** Rejects `config` for what is no logo. Undefined: none is named. */
export async function readLogo(file: string | undefined): Promise<Logo | undefined> {
  if (file === undefined) return undefined;
  const content = await readPublicFile(file);
  const why = whyNoLogo(content);
  if (why !== undefined)
    throw new SallyportError('config', 'The logo can not be used', {
      detail: `${file} ${why.message}`,
      hint: why.hint,
    });
  return { type: isPng(content) ? 'png' : 'svg', content: content.toString('base64') };
}

/** What is wrong with a file that is to be the logo. */
export function whyNoLogo(content: Buffer): Why | undefined {
  if (content.length > logoBytesMax)
    return {
      message: `has ${content.length} bytes`,
      hint: `at most ${logoBytesMax}: every sign-in page brings it along; save it smaller`,
    };
  return isPng(content) ? whyNoPng(content) : whyNoSvg(content);
}

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function isPng(content: Buffer): boolean {
  return content.subarray(0, pngSignature.length).equals(pngSignature);
}

/** Whole, no larger than it is drawn, and nothing behind its end. */
function whyNoPng(content: Buffer): Why | undefined {
  const broken = { message: 'is no whole PNG', hint: 'save it once more' };
  let at = pngSignature.length;
  for (let chunk = 0; at + 12 <= content.length; chunk += 1) {
    const length = content.readUInt32BE(at);
    const end = at + 12 + length;
    if (end > content.length) return broken;
    const typed = content.subarray(at + 4, end - 4);
    const type = typed.toString('latin1', 0, 4);
    if (crc32(typed) !== content.readUInt32BE(end - 4)) return broken;
    if (chunk === 0) {
      if (type !== 'IHDR' || length !== 13) return broken;
      const [width, height] = [content.readUInt32BE(at + 8), content.readUInt32BE(at + 12)];
      if (width === 0 || height === 0) return broken;
      if (width > pngPixelsMax || height > pngPixelsMax)
        return { message: `is ${width} × ${height} pixels`, hint: `at most ${pngPixelsMax} each way` };
    }
    if (type === 'IEND') return end === content.length ? undefined : broken;
    at = end;
  }
  return broken;
}

/** What draws. Not `image`, `foreignObject`, `script`, `a`, and nothing that animates. */
const drawing = new Set(
  (
    'svg g defs symbol use title desc style path rect circle ellipse line polyline polygon text tspan ' +
    'linearGradient radialGradient stop clipPath mask pattern'
  ).split(' '),
);
const tag = /<(\/?)([A-Za-z_][\w:.-]*)((?:\s+[A-Za-z_][\w:.-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const attribute = /([A-Za-z_][\w:.-]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/g;
const comment = /<!--(?:(?!--)[^])*-->/g;

/** Read as strictly as it can be written: whatever is not understood is refused. */
function whyNoSvg(content: Buffer): Why | undefined {
  const hint = 'save it as a plain SVG, with shapes only, or as a PNG';
  const text = content.toString('utf8');
  if (!Buffer.from(text).equals(content)) return { message: 'is neither PNG nor SVG', hint };
  const body = text
    .replace(/^\uFEFF?\s*<\?xml\s[^?]*\?>/, '')
    .replace(comment, '')
    .trim();
  const open: string[] = [];
  let at = 0;
  while (at < body.length) {
    const next = body.indexOf('<', at);
    const words = body.slice(at, next === -1 ? undefined : next);
    if (open.length === 0 && words.trim() !== '') return { message: 'is neither PNG nor SVG', hint };
    const bad = whyNoWords(words, open.at(-1) === 'style');
    if (bad !== undefined) return { message: bad, hint };
    if (next === -1) break;
    tag.lastIndex = next;
    const [whole, slash, name = '', attributes = '', isAlone] = tag.exec(body) ?? [];
    if (whole === undefined)
      return { message: `has something else than elements: ${shorten(body.slice(next))}`, hint };
    if (!drawing.has(name)) return { message: `has an element <${shorten(name)}>`, hint };
    if ((open.length === 0) !== (name === 'svg' && slash === '' && next === 0))
      return { message: 'is not one <svg>', hint };
    if (slash === '/') {
      if (open.pop() !== name) return { message: `ends <${name}> where it is not open`, hint };
    } else {
      for (const [, key = '', double, single] of attributes.matchAll(attribute)) {
        const why = whyNoAttribute(key, double ?? single ?? '');
        if (why !== undefined) return { message: why, hint };
      }
      if (isAlone !== '/') open.push(name);
    }
    at = next + whole.length;
    if (open.length === 0 && at < body.length) return { message: 'is not one <svg>', hint };
  }
  return open.length === 0 && at > 0 ? undefined : { message: 'is no whole SVG', hint };
}

function whyNoAttribute(key: string, value: string): string | undefined {
  if (/^on/i.test(key)) return `has a script in ${key}`;
  if (/^xmlns(:|$)/.test(key)) return undefined;
  if (/(^|:)(href|src|base)$/i.test(key) && !value.startsWith('#')) return `points elsewhere in ${key}`;
  return whyNoWords(value, true);
}

/** `isStyle`: words that say what is drawn how, and could name an address. */
function whyNoWords(words: string, isStyle: boolean): string | undefined {
  if (/&(?!(amp|lt|gt|quot|apos);)/.test(words)) return 'has characters written as numbers or entities';
  if (!isStyle) return undefined;
  // A backslash writes letters as numbers, in styles.
  return /@import|\\|javascript:|data:|image-set|src\s*\(|url\s*\(\s*['"]?(?!#|['"#])/i.test(words)
    ? 'names something outside of itself'
    : undefined;
}

function shorten(text: string): string {
  return text.slice(0, 24).replace(/[^\x20-\x7e]/g, '?');
}
