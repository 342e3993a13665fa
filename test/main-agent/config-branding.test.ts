import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { buildBrandingSchema, darkGrounds, lightGrounds, onDarkAccent } from '#main-agent/config-branding.ts';
import { checkMainAgentConfig } from '#main-agent/config.ts';
import { readLogo, whyNoLogo } from '#main-agent/logo.ts';
import { filePath } from '#shared/config/file-path.ts';
import { logoBytesMax } from '#shared/link/messages.ts';

const schema = buildBrandingSchema(filePath({ folder: '/etc/sallyport' }));

function problemsOf(branding: object): string[] {
  return (
    schema.safeParse(branding).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
  );
}

describe('the accent', () => {
  it('that can be read in the light theme gets one for the dark theme made of it', () => {
    for (const accent of ['#7a1f5c', '#0b6b5d', '#000000', '#0000FF', '#b00020']) {
      const { accent: made } = schema.parse({ accent });
      expect(made?.light).toBe(accent.toLowerCase());
      expect(problemsOf({ accent, accent_dark: made?.dark })).toEqual([]);
    }
  });

  it('that can not be read is refused with its ratio and a colour that would do, and that one is taken', () => {
    for (const [key, branding] of [
      ['accent', { accent: '#ffcc00' }],
      ['accent', { accent: '#767676' }],
      ['accent_dark', { accent: '#7a1f5c', accent_dark: '#7a1f5c' }],
    ] as const) {
      const [problem = '', ...more] = problemsOf(branding);
      expect(more).toEqual([]);
      expect(problem).toMatch(
        new RegExp(`^${key}: a colour with at least 4\\.5:1 beside #[0-9a-f]{6} .*has \\d+\\.\\d\\d:1`),
      );
      const [, better = ''] = /(#[0-9a-f]{6}) would do/.exec(problem) ?? [];
      expect(problemsOf({ ...branding, [key]: better })).toEqual([]);
    }
    expect(problemsOf({ accent: 'red' })[0]).toContain('a colour such as');
    expect(problemsOf({ accent_dark: '#ffffff' })).toEqual(['accent_dark: `accent` beside it']);
  });

  it('is judged by the grounds that the page has', () => {
    const tokens = readFileSync('dmz/web/styles/tokens.css', 'utf8');
    const pair = (name: string) =>
      new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(tokens)?.slice(1);
    expect(['surface', 'bg', 'raised'].map(pair)).toEqual(
      lightGrounds.map((light, index) => [light, darkGrounds[index]]),
    );
    expect(pair('on-accent')).toEqual(['#ffffff', onDarkAccent]);
  });
});

describe('texts', () => {
  it('may have lines, and nothing that a terminal would obey', () => {
    expect(
      problemsOf({
        banner: 'One\nZwei: für Befugte\n',
        help: { text: 'Call us', link: 'mailto:o%27brien@example.com' },
      }),
    ).toEqual([]);
    for (const banner of ['\u001b[2J', 'a\rb', '\u202eabc', ''])
      expect(problemsOf({ banner })).toHaveLength(1);
    for (const link of [
      'javascript:alert(1)',
      'http://example.com',
      'data:text/html,x',
      '//example.com',
      "mailto:o'brien@example.com",
      "https://example.com/o'brien",
      `https://example.com/${'x'.repeat(2048)}`,
    ])
      expect(problemsOf({ help: { text: 'x', link } })).toHaveLength(1);
  });
});

function chunk(type: string, content: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, sum]);
}

function png(width: number, height: number): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 0, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.alloc(width + 1))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

describe('a logo', () => {
  const why = (content: string | Buffer) => whyNoLogo(Buffer.from(content))?.message;
  const drawn = (inner: string) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">${inner}</svg>`;

  it('is a whole PNG of at most 1024 pixels each way', () => {
    expect([png(1024, 1024), png(1, 1)].map((one) => whyNoLogo(one))).toEqual([undefined, undefined]);
    expect(why(png(1025, 1))).toBe('is 1025 × 1 pixels');
    expect(why(Buffer.concat([png(1, 1), Buffer.from('<script>')]))).toBe('is no whole PNG');
    expect(why(png(1, 1).subarray(0, -1))).toBe('is no whole PNG');
    const flipped = png(1, 1);
    flipped[45] = (flipped[45] ?? 0) ^ 1;
    expect(why(flipped)).toBe('is no whole PNG');
  });

  it('or an SVG of shapes, gradients and styles, as drawing programs write them', () => {
    for (const good of [
      readFileSync('dmz/web/public/favicon.svg', 'utf8'),
      `<?xml version="1.0" encoding="UTF-8"?>\n<!-- by a program -->\n${drawn('<path d="M0 0"/>')}\n`,
      drawn(
        '<defs><linearGradient id="a"><stop offset="0"/></linearGradient><style>.b{fill:url(#a)}</style></defs>' +
          '<g class="b" style="fill:url(#a)"><use href="#x"/><text x="1">A &amp; B</text></g>',
      ),
    ])
      expect(whyNoLogo(Buffer.from(good))).toBeUndefined();
  });

  it('and nothing that runs, fetches, or is not understood', () => {
    for (const bad of [
      '<script>alert(1)</script>',
      '<foreignObject/>',
      '<image href="https://example.com/x.png"/>',
      '<a href="#x"/>',
      '<animate attributeName="href"/>',
      '<path onload="x()"/>',
      '<path ONLOAD="x()"/>',
      '<use href="https://example.com/#x"/>',
      '<use xlink:href="data:image/svg+xml,x"/>',
      '<path style="fill:url(https://example.com/x)"/>',
      '<path fill="url( \'https://example.com\' )"/>',
      '<style>@import "https://example.com";</style>',
      '<style>a{fill:\\75rl(x)}</style>',
      '<path fill="&#106;avascript:x"/>',
      '<text>&x;</text>',
      '<![CDATA[x]]>',
      '<path d=1/>',
      '<g>',
      '</g>',
      '<svg:script/>',
    ])
      expect([bad, why(drawn(bad))]).toEqual([bad, expect.any(String)]);
    for (const bad of [
      '',
      'GIF89a',
      '<html/>',
      '<!DOCTYPE svg [<!ENTITY x "y">]><svg/>',
      '<?xml-stylesheet href="x"?><svg/>',
      '<svg/><svg/>',
      '<svg/>text',
      Buffer.from([0x3c, 0xff]),
    ])
      expect([String(bad), why(bad)]).toEqual([String(bad), expect.any(String)]);
  });

  it('has at most 32 KiB, and no time is lost with one that is hostile', () => {
    const shape = '<path d="M0 0"/>';
    const fill = (bytes: number) => drawn(shape + ' '.repeat(bytes - drawn(shape).length));
    expect(whyNoLogo(Buffer.from(fill(logoBytesMax)))).toBeUndefined();
    expect(why(fill(logoBytesMax + 1))).toBe(`has ${logoBytesMax + 1} bytes`);
    expect(why(`<svg ${'a='.repeat(16_000)}`)).toBeDefined();
    expect(why(drawn('<!--'.repeat(8000)))).toBeDefined();
  });

  it('that is none is named by the check of the configuration, with its line and what to do', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-logo-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'logo.svg'), drawn('<script/>'));
    const file = join(folder, 'main-agent.yaml');
    await writeFile(file, 'identity_key: id\nvault_key: vault\nbranding:\n  logo: logo.svg\n');
    const checked = await checkMainAgentConfig(file);
    expect(checked.ok ? [] : checked.problems).toContainEqual(
      expect.objectContaining({
        line: 4,
        message: `branding.logo: ${folder}/logo.svg has an element <script>`,
        hint: expect.stringContaining('PNG'),
      }),
    );
    await expect(readLogo(join(folder, 'logo.svg'))).rejects.toMatchObject({ code: 'config' });
    await writeFile(join(folder, 'logo.svg'), drawn('<g/>'));
    expect(await readLogo(join(folder, 'logo.svg'))).toMatchObject({ type: 'svg' });
  });
});
