import { duplexPair, type Duplex } from 'node:stream';
import { serveVault, VaultChannel } from '#main-agent/vault/channel.ts';
import { vaultCalls, type VaultHandlers, type VaultVerb } from '#main-agent/vault/calls.ts';
import { isSallyportError } from '#shared/error.ts';
import { buildRandom } from '#test/harness/random.ts';
import { sampleOf } from '#test/fuzz/samples.ts';
import type { Sample, Target } from '#test/fuzz/target.ts';

/** Between main and its vault, of which neither trusts the other's bytes. */

const verbs = Object.keys(vaultCalls) as VaultVerb[];
const samplesEach = 4;

function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** As they come, and framed again after the change, which else the length would give away. */
function samplesOf(kind: string, draw: (random: (below: number) => number) => object): Sample[] {
  return Array.from({ length: samplesEach }, (_, seed): Sample => {
    const bytes = Buffer.from(JSON.stringify(draw(buildRandom(seed + 1))));
    return seed === 0 ? { kinds: [kind], bytes: framed(bytes) } : { kinds: [kind], bytes, seal: framed };
  });
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export function buildVaultRequests(): Target {
  const answers = new Map(verbs.map((verb) => [verb, sampleOf(vaultCalls[verb].answer, buildRandom(1))]));
  return {
    name: 'vault-requests',
    kinds: verbs,
    corpus: verbs.flatMap((verb) =>
      samplesOf(verb, (random) => ({
        id: 1 + random(1000),
        verb,
        request: sampleOf(vaultCalls[verb].request, random),
      })),
    ),
    async run(input) {
      const [main, vault] = duplexPair();
      const taken: VaultVerb[] = [];
      let isOver = false;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one for each row of the table
      const handlers = Object.fromEntries(
        verbs.map((verb) => [
          verb,
          async (request: unknown) => {
            if (isOver) throw new Error('asked after it was over');
            if (!vaultCalls[verb].request.safeParse(request).success) throw new Error('not of its row');
            taken.push(verb);
            return answers.get(verb);
          },
        ]),
      ) as unknown as VaultHandlers;
      serveVault(vault, handlers, () => (isOver = true));
      const told = collect(main);
      main.write(input);
      await settle();
      const refused = told().includes('"error"');
      if (told().includes('"internal"')) throw new Error(`a fault of its own: ${told()}`);
      const isRefused = isOver || refused;
      main.destroy();
      vault.destroy();
      await settle();
      return { taken, isRefused: isRefused || taken.length === 0 };
    },
  };
}

export function buildVaultAnswers(): Target {
  const failure = { code: 'not-found', message: 'There is no such set-up', hint: 'begin again' };
  return {
    name: 'vault-answers',
    kinds: [...verbs, 'error'],
    corpus: [
      ...verbs.flatMap((verb) =>
        samplesOf(verb, (random) => ({ id: 1, answer: sampleOf(vaultCalls[verb].answer, random) })),
      ),
      ...samplesOf('error', () => ({ id: 1, error: failure })),
    ],
    async run(input, { kinds: [kind = ''] }) {
      const verb = verbs.find((one) => one === kind) ?? 'open';
      const [vault, main] = duplexPair();
      let broken: string | undefined;
      const channel = new VaultChannel(main, (why) => (broken = why));
      const request = vaultCalls[verb].request.parse(sampleOf(vaultCalls[verb].request, buildRandom(1)));
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of that very row
      const asked = channel.ask(verb, request as never).then(
        (answer) => (vaultCalls[verb].answer.safeParse(answer).success ? 'answered' : 'answered otherwise'),
        (error: unknown) => (isSallyportError(error) ? error.code : error),
      );
      vault.resume();
      vault.write(input);
      await settle();
      const isBroken = broken !== undefined;
      channel.end();
      vault.destroy();
      const how = await asked;
      if (how === 'answered') return { taken: kind === 'error' ? [] : [kind], isRefused: isBroken };
      if (typeof how !== 'string' || how === 'answered otherwise')
        throw new Error('ends otherwise', { cause: how });
      // Of a call that was under way when the channel ended nothing is known.
      return { taken: how === 'busy' ? [] : ['error'], isRefused: how === 'busy' };
    },
  };
}

function collect(stream: Duplex): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString('latin1');
}
