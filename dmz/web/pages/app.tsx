import { NoticeArea } from '#dmz/web/components/notice-area.tsx';
import { SessionEndWarning } from '#dmz/web/components/session-end-warning.tsx';
import { BinPage } from '#dmz/web/pages/bin.tsx';
import { FilesPage } from '#dmz/web/pages/files.tsx';
import { OptionsPage } from '#dmz/web/pages/options.tsx';
import { SecondFactorPage } from '#dmz/web/pages/second-factor.tsx';
import { SetPasswordPage } from '#dmz/web/pages/set-password.tsx';
import { SignInPage } from '#dmz/web/pages/sign-in.tsx';
import { StartingPage } from '#dmz/web/pages/starting.tsx';
import { TwoFactorSetupPage } from '#dmz/web/pages/two-factor-setup.tsx';
import { UnavailablePage } from '#dmz/web/pages/unavailable.tsx';
import { useClient } from '#dmz/web/state/client.ts';

/** Which page: the session decides first, then the address. */
function CurrentPage() {
  const { session, route } = useClient();
  const outage = session.outage.value;
  const state = session.state.value;
  const place = route.place.value;
  if (outage !== undefined) return <UnavailablePage outage={outage} />;
  // Whoever is signed in here: the link may be somebody else's.
  if (place.name === 'set-password') return <SetPasswordPage />;
  switch (state.name) {
    case 'starting':
      return <StartingPage />;
    case 'signed-out':
      return <SignInPage notice={state.notice} />;
    case 'code-required':
      return (
        <SecondFactorPage
          username={state.username}
          challenge={state.challenge}
          expiresAtMs={state.expiresAtMs}
        />
      );
    case 'setup-required':
      return <TwoFactorSetupPage key={state.account.username} account={state.account} forced />;
    case 'signed-in': {
      // Another person's page begins anew: what the one before typed or was shown in it is not theirs.
      const user = state.account.username;
      if (place.name === 'setup')
        return <TwoFactorSetupPage key={user} account={state.account} forced={false} />;
      if (place.name === 'bin') return <BinPage key={user} username={user} />;
      if (place.name === 'options') return <OptionsPage key={user} account={state.account} />;
      return <FilesPage key={user} path={place.folder} />;
    }
  }
}

export function App() {
  return (
    <>
      <SessionEndWarning />
      <CurrentPage />
      <NoticeArea />
    </>
  );
}
