import { z } from 'zod';
import type { filePath } from '#shared/config/file-path.ts';
import { httpUrl } from '#shared/config/value-types.ts';
import { banner, brandName, helpLink, helpText } from '#shared/link/branding.ts';

/**
 * `branding` of main-agent.yaml: what people see of whom they are with, before and after they sign in. A colour that
 * could not be read is refused here (WCAG 2.2, 1.4.3: 4.5:1), with one that can.
 */

type Rgb = readonly [red: number, green: number, blue: number];

/** What the accent lies on, and what lies on it, as dmz/web/styles/tokens.css has it; a test compares them. */
export const lightGrounds = ['#ffffff', '#f6f7f9', '#eef1f5'] as const;
export const darkGrounds = ['#181e27', '#10141a', '#212936'] as const;
export const onDarkAccent = '#05211b';
/** Shares of the accent in its soft ground (`brandingStyles` of the door makes them). */
const softShare = { light: 0.1, dark: 0.15 };
const leastContrast = 4.5;

function parseColour(text: string): Rgb {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => Number.parseInt(text.slice(at, at + 2), 16));
  return [red, green, blue];
}

function showColour(colour: Rgb): string {
  return `#${colour.map((part) => Math.round(part).toString(16).padStart(2, '0')).join('')}`;
}

function mix(one: Rgb, other: Rgb, share: number): Rgb {
  const part = (at: 0 | 1 | 2): number => one[at] * share + other[at] * (1 - share);
  return [part(0), part(1), part(2)];
}

/** WCAG 2.2, relative luminance. */
function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: Rgb, other: Rgb): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Of the accent with whatever it is seen beside in a theme: the least. */
function leastContrastOf(
  accent: Rgb,
  theme: 'light' | 'dark',
): { readonly ratio: number; readonly beside: string } {
  const grounds = (theme === 'light' ? lightGrounds : darkGrounds).map(parseColour);
  const [surface] = grounds;
  const soft = surface === undefined ? [] : [mix(accent, surface, softShare[theme])];
  // White stands on a light theme's accent, and is one of its grounds.
  const words = theme === 'light' ? [] : [parseColour(onDarkAccent)];
  const all = [...grounds, ...soft, ...words].map((other) => ({
    ratio: contrast(accent, other),
    beside: showColour(other),
  }));
  return all.reduce((least, one) => (one.ratio < least.ratio ? one : least));
}

/** The nearest to it that can be read: darker on a light ground, lighter on a dark one. */
function readable(accent: Rgb, theme: 'light' | 'dark'): Rgb {
  const end: Rgb = theme === 'light' ? [0, 0, 0] : [255, 255, 255];
  for (let share = 1; share > 0; share -= 0.01) {
    const candidate = parseColour(showColour(mix(accent, end, share)));
    if (leastContrastOf(candidate, theme).ratio >= leastContrast) return candidate;
  }
  return end;
}

const colour = z
  .string()
  .regex(/^#[0-9a-fA-F]{6}$/, { error: 'a colour such as "#0b6b5d", in quotes' })
  .transform((text) => text.toLowerCase());

const configuredHelpLink = helpLink.refine(
  (text) =>
    /^mailto:[^\s@<>"?]+@[^\s@<>"?]+$/.test(text)
      ? text.length <= 320
      : httpUrl('https').safeParse(text).success,
  { error: 'https://… or mailto:…' },
);

export function buildBrandingSchema(file: ReturnType<typeof filePath>) {
  return z
    .strictObject({
      name: brandName.default('Sallyport'),
      banner: banner.optional(),
      logo: file.optional(),
      accent: colour.optional(),
      accent_dark: colour.optional(),
      help: z.strictObject({ text: helpText, link: configuredHelpLink.optional() }).optional(),
    })
    .prefault({})
    .transform((s, issues) => {
      const { accent, accent_dark: dark, ...rest } = s;
      if (accent === undefined) {
        if (dark !== undefined)
          issues.addIssue({
            code: 'custom',
            path: ['accent_dark'],
            message: '`accent` beside it',
            input: dark,
          });
        return { ...rest, accent: undefined };
      }
      const light = parseColour(accent);
      const named = [
        { path: 'accent', theme: 'light', value: light },
        ...(dark === undefined
          ? []
          : [{ path: 'accent_dark', theme: 'dark', value: parseColour(dark) } as const]),
      ] as const;
      for (const { path, theme, value } of named) {
        const { ratio, beside } = leastContrastOf(value, theme);
        if (ratio >= leastContrast) continue;
        issues.addIssue({
          code: 'custom',
          path: [path],
          message: `a colour with at least ${leastContrast}:1 beside ${beside} of the ${theme} theme (this one has ${ratio.toFixed(2)}:1; ${showColour(readable(value, theme))} would do)`,
          input: showColour(value),
        });
      }
      return { ...rest, accent: { light: accent, dark: dark ?? showColour(readable(light, 'dark')) } };
    });
}

export type Branding = z.output<ReturnType<typeof buildBrandingSchema>>;
