import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import { useLocation, useNavigate, useRouteError } from "react-router";
import { ApiError, isNotFound, isUnreachable } from "@/api/problem";
import { NotFound } from "@/app/not-found";
import { FailureNote } from "@/components/ui/failure-note";
import { Page } from "@/components/ui/page";
import { MissingPartError } from "@/lib/part";

const RETRY_PAUSE = 5_000; // ms

export function RouteFailure() {
  const error = useRouteError();
  const client = useQueryClient();
  const location = useLocation();
  const navigate = useNavigate();
  const away = isUnreachable(error);

  const retry = useCallback(() => {
    if (error instanceof MissingPartError) {
      // Reloading while the gateway is away would leave nothing but the browser's own error.
      fetch("/", { cache: "no-store" }).then(
        (response) => response.ok && window.location.reload(),
        () => undefined,
      );
      return;
    }
    if (!isUnreachable(error) && !(error instanceof ApiError)) {
      window.location.reload();
      return;
    }
    client.removeQueries({ predicate: ({ state }) => state.status === "error" });
    // Going to where one is resets the boundary, which revalidating does not.
    void navigate(location, { replace: true });
  }, [client, error, location, navigate]);

  useEffect(() => {
    if (!away) return undefined;
    const timer = setInterval(retry, RETRY_PAUSE);
    return () => clearInterval(timer);
  }, [away, retry]);

  if (isNotFound(error)) return <NotFound />;
  return (
    <Page>
      <FailureNote error={error} onRetry={retry} />
    </Page>
  );
}
