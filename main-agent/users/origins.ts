import { parseYaml } from '#shared/config/yaml-text.ts';

/** Where each effective value of a user came from: the same rules as `inheritance.ts`, with files and lines. */

export interface ValueOrigin {
  /** Dotted, as in the file; `+protocols` is what was appended to a list. */
  readonly key: string;
  /** As written; `[secret]` for a password hash. */
  readonly value: unknown;
  readonly file: string;
  readonly line: number;
}

interface LayerText {
  readonly file: string;
  readonly text: string;
}

const sections: ReadonlySet<string> = new Set(['two_factor', 'limits', 'hours']);

/** Merged key by key; everything else is replaced whole. */
export function isSection(key: string): boolean {
  return sections.has(key);
}

/** Layers from first to last, as they are in force. */
export function findOrigins(layers: readonly LayerText[]): readonly ValueOrigin[] {
  const origins = new Map<string, ValueOrigin>();
  for (const { file, text } of layers) {
    const yaml = parseYaml(text, file);
    const visit = (value: unknown, path: readonly string[]): void => {
      if (!isRecord(value)) return;
      for (const [name, child] of Object.entries(value)) {
        const at = [...path, name];
        const key = at.join('.');
        if (isSection(key) && child !== null) {
          visit(child, at);
          continue;
        }
        if (name.startsWith('+')) origins.set(`${key}\0${file}`, originOf(key, child, at));
        else replace(key, originOf(key, child, at), [...path, `+${name}`].join('.'));
      }
    };
    const originOf = (key: string, value: unknown, at: readonly string[]): ValueOrigin => ({
      key,
      value: key === 'password' && value !== null ? '[secret]' : value,
      file,
      line: yaml.locateKey(at).line,
    });
    const replace = (key: string, origin: ValueOrigin, appended: string): void => {
      for (const older of origins.keys()) {
        if (older === key || older.startsWith(`${key}.`) || older.startsWith(`${appended}\0`))
          origins.delete(older);
      }
      origins.set(key, origin);
    };
    visit(yaml.value, []);
  }
  return [...origins.values()];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
