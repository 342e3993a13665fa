import { useEffect, useRef, useState } from 'preact/hooks';
import type { Account } from '#dmz/http-api/account.ts';
import type { Setup } from '#dmz/http-api/sign-in.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { getConfirmedSetup, postSetup, postSetupConfirm, postSetupProve } from '#dmz/web/api/two-factor.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Card } from '#dmz/web/components/card.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { RecoveryCodes } from '#dmz/web/components/recovery-codes.tsx';
import { SetupReady, type TicketQuestion } from '#dmz/web/components/setup-ready.tsx';
import { SetupProve } from '#dmz/web/components/setup-prove.tsx';
import { SetupScan } from '#dmz/web/components/setup-scan.tsx';
import { describeCodeFailure } from '#dmz/web/i18n/code-failure.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

/** Where the set-up is: each step holds only what the step before it gave. */
type Step =
  | { readonly name: 'ready' }
  | { readonly name: 'scan'; readonly setup: Setup; readonly expiresAtMs: number; readonly late: boolean }
  | { readonly name: 'prove'; readonly expiresAtMs: number }
  | { readonly name: 'codes'; readonly codes: readonly string[] };

const stepNames = ['ready', 'scan', 'prove', 'codes'] as const;

function Steps({ current }: { readonly current: Step['name'] }) {
  const words = useWords();
  const position = stepNames.indexOf(current);
  return (
    <ol class="steps">
      {stepNames.map((name, index) => (
        <li
          key={name}
          class={index < position ? 'step step-done' : 'step'}
          aria-current={name === current ? 'step' : undefined}
        >
          <span class="step-number" aria-hidden="true">
            {index < position ? <Icon name="check" size={14} /> : index + 1}
          </span>
          <span class="step-name">{words.setup.steps[name]}</span>
        </li>
      ))}
    </ol>
  );
}

function describeStart(problem: ApiProblem, words: Catalogue): string {
  if (problem.status === 409) return words.setup.already;
  return problem.status === 403 ? words.setup.notAllowed : words.setup.failed;
}

/**
 * Setting up the second factor, by choice from the options or because the session is confined to this page.
 * The server decides what is saved and when; the countdowns here only tell the person how long it will wait.
 */
export function TwoFactorSetupPage({
  account,
  forced,
}: {
  readonly account: Account;
  readonly forced: boolean;
}) {
  const { session, route, notices } = useClient();
  const words = useWords();
  const { step, failure, ...setup } = useSetup();

  const finish = async (): Promise<void> => {
    // A forced set-up may stand in front of a deep link, which is where to go on.
    if (!forced) route.go({ name: 'options' });
    else if (route.place.value.name !== 'files') route.go({ name: 'files', folder: [] });
    notices.info(words.setup.doneNotice);
    await session.refresh();
  };

  return (
    <Card
      view="two-factor-setup"
      title={words.setup.title}
      wide
      focusTitle
      above={
        step.name === 'codes' ? undefined : (
          <div class="card-who">
            {forced ? (
              <button type="button" class="button button-link" onClick={() => void session.signOut()}>
                <Icon name="signOut" />
                <span>{words.setup.signOut}</span>
              </button>
            ) : (
              <button type="button" class="button button-link" onClick={() => route.go({ name: 'options' })}>
                <Icon name="chevronLeft" />
                <span>{words.code.back}</span>
              </button>
            )}
            <span class="muted" translate={false}>
              {account.username}
            </span>
          </div>
        )
      }
    >
      {forced && step.name === 'ready' && <p class="card-lead">{words.setup.forced}</p>}
      <Steps current={step.name} />
      {failure !== undefined && step.name !== 'prove' && (
        <Message kind="danger" reference={failure.reference}>
          {failure.text}
        </Message>
      )}
      {step.name === 'ready' && (
        <SetupReady
          question={setup.question}
          busy={setup.busy}
          onReady={(typed) => void setup.start(typed ?? setup.ticket)}
        />
      )}
      {step.name === 'scan' && (
        <SetupScan
          setup={step.setup}
          expiresAtMs={step.expiresAtMs}
          late={step.late}
          busy={setup.busy}
          onConfirm={() => void setup.confirm()}
          onNewCode={() => void setup.start(setup.ticket)}
        />
      )}
      {step.name === 'prove' && (
        <SetupProve
          expiresAtMs={step.expiresAtMs}
          failure={failure?.text}
          attemptsLeft={setup.attemptsLeft}
          busy={setup.busy}
          onProve={(code) => void setup.prove(code)}
          onExpired={setup.expire}
        />
      )}
      {step.name === 'codes' && step.codes.length > 0 && (
        <RecoveryCodes codes={step.codes} username={account.username} onDone={() => void finish()} />
      )}
      {step.name === 'codes' && step.codes.length === 0 && (
        <>
          <p>{words.setup.codesNone}</p>
          <Button kind="primary" wide onClick={() => void finish()}>
            {words.setup.done}
          </Button>
        </>
      )}
    </Card>
  );
}

/** The step it is at with what went wrong there, and what leads on from it. */
function useSetup() {
  const { http, notices } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [step, setStep] = useState<Step>({ name: 'ready' });
  /** The administrator's code, kept for showing the picture again: it is spent only by a finished set-up. */
  const [ticket, setTicket] = useState<string | undefined>();
  const [question, setQuestion] = useState<TicketQuestion | undefined>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<{ text: string; reference?: string | undefined } | undefined>();
  const [attemptsLeft, setAttemptsLeft] = useState<number | undefined>();

  const show = (next: Step, text?: string): void => {
    setStep(next);
    setFailure(text === undefined ? undefined : { text });
    setAttemptsLeft(undefined);
    notices.say(words.setup.step(stepNames.indexOf(next.name) + 1, words.setup.steps[next.name]));
  };

  /** Loaded again while one code was due: the app has its entry already, and no second one is wanted. */
  const hasBegun = useRef(false);
  useEffect(() => {
    getConfirmedSetup(http).then(
      (seconds) => {
        if (seconds !== undefined && !hasBegun.current)
          show({ name: 'prove', expiresAtMs: Date.now() + seconds * 1000 });
      },
      () => undefined,
    );
  }, []);

  const start = async (shownTicket: string | undefined, late = false): Promise<void> => {
    hasBegun.current = true;
    setBusy(true);
    try {
      const setup = await postSetup(http, shownTicket);
      setTicket(shownTicket);
      setQuestion(undefined);
      show({ name: 'scan', setup, expiresAtMs: Date.now() + setup.expires_in * 1000, late });
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      if (problem.details.reason === 'ticket-required') {
        if (step.name !== 'ready') show({ name: 'ready' });
        setFailure(undefined);
        setQuestion({ wrong: shownTicket !== undefined, attemptsLeft: problem.details.attemptsLeft });
      } else setFailure({ text: describeStart(problem, words), reference: problem.details.reference });
    }
    setBusy(false);
  };

  const confirm = async (): Promise<void> => {
    setBusy(true);
    try {
      const proveWithin = await postSetupConfirm(http);
      show({ name: 'prove', expiresAtMs: Date.now() + proveWithin * 1000 });
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      if (problem.status === 410) await start(ticket, true);
      else setFailure({ text: words.setup.failed, reference: problem.details.reference });
    }
    setBusy(false);
  };

  const expire = (): void => show({ name: 'ready' }, words.setup.proveExpired);

  const prove = async (code: string): Promise<void> => {
    setBusy(true);
    try {
      const enrolled = await postSetupProve(http, code);
      show({ name: 'codes', codes: enrolled.recovery_codes });
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      const left = problem.details.attemptsLeft;
      if (problem.status === 410) expire();
      else if (problem.status === 409 || left === 0) show({ name: 'ready' }, words.setup.proveVoid);
      else {
        setFailure({
          text: describeCodeFailure(problem, 'app', words, formats, Date.now()),
          reference: problem.details.reference,
        });
        setAttemptsLeft(left);
      }
    }
    setBusy(false);
  };

  return { step, ticket, question, busy, failure, attemptsLeft, start, confirm, prove, expire };
}
