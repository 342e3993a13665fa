import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { Document } from 'yaml';
import { buildDmzSchema, checkDmzConfig, loadDmzConfig } from '#dmz/config.ts';
import { buildMainAgentSchema, loadMainAgentConfig } from '#main-agent/config.ts';
import { buildEditorSchema } from '#test/shared/config/editor-schema.ts';
import { checkYaml } from '#shared/config/check.ts';
import { allKeyPaths } from '#shared/config/schema-keys.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';

const context = { folder: '/etc/sallyport' };
const examples = [
  {
    name: 'dmz',
    schema: buildDmzSchema(context),
    load: loadDmzConfig,
    required: ['node', 'public_url', 'https.certificate', 'https.key', 'sftp.host_keys', 'link'],
  },
  {
    name: 'main-agent',
    schema: buildMainAgentSchema(context),
    load: loadMainAgentConfig,
    required: ['dmz_nodes', 'identity_key', 'vault_key'],
  },
] as const;

for (const { name, schema, load, required } of examples)
  describe(`configs/${name}.yaml`, () => {
    const file = `configs/${name}.yaml`;
    const text = readFileSync(file, 'utf8');
    const allOn = switchEverythingOn(text);

    test('loads as it stands', async () => {
      await expect(load(file)).resolves.toBeTypeOf('object');
    });

    test('says the defaults: the same file with only what has none means the same', () => {
      const { document } = parseYaml(text, file);
      const least = new Document({});
      for (const key of required) least.setIn(key.split('.'), document.getIn(key.split('.')));
      const [whole, short] = [text, least.toString()].map((part) => checkYaml<unknown>(part, file, schema));
      expect(short).toMatchObject({ ok: true, value: whole?.ok === true ? whole.value : 'not readable' });
    });

    test('has every key of the schema, switched on or as a line to switch on', () => {
      const written = keyPathsOf(parseYaml(allOn, file).value);
      const missing = allKeyPaths(schema).filter((key) => !written.some((path) => fits(key, path)));
      // `{ nodes: [...] }` is one of three spellings of it; the comment above it shows it.
      const nodes = ['enrol', 'password', 'ssh_keys'].map((one) => `two_factor.self_service.${one}.nodes`);
      expect(missing).toEqual(name === 'main-agent' ? nodes : []);
    });

    test('has a comment for every key at the top', () => {
      const lines = text.split('\n');
      const bare = lines.filter(
        (line, index) => /^[a-z_]+: /.test(line) && !/^\s*#/.test(lines[index - 1] ?? ''),
      );
      expect(bare).toEqual([]);
    });

    test('has nothing to switch on that would not load', () => {
      const checked = checkYaml<unknown>(allOn, file, schema);
      expect(checked.ok ? [] : checked.problems).toEqual([]);
    });

    test('has an up-to-date JSON Schema beside it (write it with UPDATE_SCHEMAS=1)', async () => {
      const json = buildEditorSchema(schema, `Sallyport ${name}.yaml`);
      const schemaFile = `configs/${name}.schema.json`;
      if (process.env['UPDATE_SCHEMAS'] === '1') await writeFile(schemaFile, json);
      expect(JSON.parse(readFileSync(schemaFile, 'utf8'))).toEqual(JSON.parse(json));
    });
  });

test('the shipped examples name keys as systemd credentials and find them where systemd puts them', async () => {
  const plain = await loadDmzConfig('configs/dmz.yaml');
  expect(plain.link.identityKey).toBe('credential:link-key');
  const checked = await checkDmzConfig('configs/dmz.yaml', { credentials: '/run/credentials/none' });
  expect(checked.ok).toBe(false);
});

/** A line to switch on has no space after its #, or two for what stands below it; it takes the place of a line above. */
function switchEverythingOn(text: string): string {
  const toSwitchOn = /^(\s*)#(?=\S|  )/;
  const lines = text.split('\n');
  return lines
    .filter((line, index) => {
      const key = /^\s*([a-z_]+):/.exec(line)?.[1];
      return key === undefined || !(lines[index + 1] ?? '').trim().startsWith(`#${key}:`);
    })
    .map((line) => line.replace(toSwitchOn, '$1'))
    .join('\n');
}

/** Every path of keys in a value, list indexes left out. */
function keyPathsOf(value: unknown, prefix = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((entry) => keyPathsOf(entry, prefix));
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, child]) => [
    `${prefix}${key}`,
    ...keyPathsOf(child, `${prefix}${key}.`),
  ]);
}

function fits(schemaPath: string, path: string): boolean {
  const pattern = schemaPath.split('.');
  const parts = path.split('.');
  return pattern.length === parts.length && pattern.every((part, i) => part === '*' || part === parts[i]);
}
