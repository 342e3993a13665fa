import type { Clock } from '#shared/clock.ts';
import type { LeaseAdmin, TwoFactorAdmin } from './ports.ts';
import type { Route } from './route.ts';
import { buildSessionRoutes } from './session-routes.ts';
import { buildSystemRoutes, type SystemPorts } from './system-routes.ts';
import { buildTwoFactorRoutes } from './two-factor-routes.ts';
import { buildUserRoutes, type UserPorts } from './user-routes.ts';

export interface AdminPorts extends SystemPorts, UserPorts {
  readonly leases: LeaseAdmin;
  readonly twoFactor: TwoFactorAdmin;
  readonly clock: Clock;
}

/** The whole table. */
export function buildAdminRoutes(ports: AdminPorts): readonly Route[] {
  return [
    ...buildSystemRoutes(ports),
    ...buildUserRoutes(ports),
    ...buildTwoFactorRoutes(ports),
    ...buildSessionRoutes(ports),
  ];
}
