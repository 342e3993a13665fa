import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';

/** EnrolmentSource without files: those in force stand in `files`, those prepared in `prepared`. */
export function buildMemoryEnrolments(
  files = new Map<string, Enrolment>(),
  prepared = new Map<string, Enrolment>(),
): EnrolmentSource {
  return {
    list: async () => [...files.keys()],
    read: async (name) => files.get(name),
    prepare: async (name, enrolment) => void prepared.set(name, enrolment),
    promote: async (name, id) => {
      const enrolment = prepared.get(name);
      if (enrolment?.id !== id) return undefined;
      prepared.delete(name);
      files.set(name, enrolment);
      return enrolment;
    },
    remove: async (name) => {
      prepared.delete(name);
      files.delete(name);
    },
  };
}
