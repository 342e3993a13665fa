import { cpSync } from 'node:fs';
import { enrol, showRecoveryCode } from './account-tries.ts';
import { send } from './login-tries.ts';
import { requireOneOf, requireRefusal, summarize, type Try } from './try.ts';

/** Tries to use after a restart of main what was made, or used, before it. */

export const restartTries: readonly Try[] = [
  {
    id: 'before-a-restart',
    attack: 'sends an assertion of before a restart of main, one that was used and one that was not',
    wall: 'S-01-link',
    run: async (evil) => {
      const [user, other] = [evil.person(), evil.person()];
      const used = await evil.assert(await evil.begin(user), { code: await evil.authenticator(user).next() });
      if ((await send(evil, used)) !== 'admitted') throw new Error('the honest login must work');
      const kept = await evil.assert(await evil.begin(other), {
        code: await evil.authenticator(other).next(),
      });
      await evil.restartMain();
      const refusals: string[] = [];
      for (const [who, params] of [
        [user, used],
        [other, kept],
      ] as const) {
        refusals.push(requireOneOf('as it was', await send(evil, params), ['challenge-gone']));
        const { challenge } = await evil.begin(who);
        refusals.push(
          requireOneOf('for a new challenge', await send(evil, { ...params, challenge }), ['refused']),
        );
      }
      return summarize(refusals);
    },
  },
  {
    id: 'restored-state',
    attack: 'shows codes again that were used after a state.db which was put back',
    wall: 'S-03-restored',
    run: async (evil) => {
      const user = evil.person();
      const recovery = await enrol(evil, 'dave');
      const { state } = evil.files.main;
      const older = `${state}.older`;
      await evil.restartMain({ meanwhile: () => cpSync(state, older) });
      // Of the step to come, so that its time is not over when it is shown again.
      const code = evil.authenticator(user).at(Math.floor(Date.now() / 30_000) + 1);
      const show = async (): Promise<readonly string[]> => [
        await showRecoveryCode(evil, 'dave', recovery),
        await send(evil, await evil.assert(await evil.begin(user), { code })),
      ];
      if ((await show()).join() !== 'admitted,admitted') throw new Error('both codes must be good once');
      const putBack = evil.restartMain({ meanwhile: () => cpSync(older, state) }).then(show);
      const refusals = [await requireRefusal('on the older state', putBack, 'config')];
      await evil.restartMain({ acceptRestored: 'drill' });
      const [byRecovery = '', byCode = ''] = await show();
      // All recovery codes are void then, so main does not ask for one.
      refusals.push(requireOneOf('the recovery code on the accepted state', byRecovery, ['refused']));
      refusals.push(requireOneOf('the code on the accepted state', byCode, ['used-code']));
      return summarize(refusals);
    },
  },
];
