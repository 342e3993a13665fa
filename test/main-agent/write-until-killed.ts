import { breakFiles } from '#test/harness/faulty-files.ts';
import { writeDurably } from '#main-agent/durable-file.ts';

/** `write-until-killed.ts <file> <text> <step>`: dies at that step of writing, or prints that it lived through. */
const [file = '', text = '', step = ''] = process.argv.slice(2);
breakFiles({ at: Number(step), how: 'dies' });
await writeDurably(file, text, { mode: 0o600 });
process.stdout.write('written');
