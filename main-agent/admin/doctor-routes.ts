import type { Doctor } from '#main-agent/doctor/doctor.ts';
import { examinationSchema } from '#shared/health/report.ts';
import { config as configAnswer } from './answers.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/doctor` and `/v1/config`: what is wrong with this installation, and how it is set up. */

export interface DoctorPorts {
  readonly doctor: Doctor;
  /** The configuration in force. It names files of secrets, and holds none. */
  readonly config: object;
}

export function buildDoctorRoutes({ doctor, config }: DoctorPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/doctor',
      role: 'viewer',
      summary: 'What is not as it should be, each with a hint',
      saysWhatIsWrong: true,
      query: noQuery,
      body: noBody,
      answer: examinationSchema,
      handle: async () => ({ body: await doctor.examine('anew') }),
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/config',
      role: 'admin',
      summary: 'The configuration in force, defaults included; secrets are files that it names',
      query: noQuery,
      body: noBody,
      answer: configAnswer,
      handle: async () => ({ body: { ...config } }),
    }),
  ];
}
