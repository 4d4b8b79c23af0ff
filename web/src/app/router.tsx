import { createBrowserRouter, type LoaderFunctionArgs, redirect } from "react-router";
import { renewSession, useSession } from "@/api/session";
import { NotFound } from "@/app/not-found";
import { page } from "@/app/pages";
import { RouteFailure } from "@/app/route-failure";
import { Shell } from "@/app/shell";
import { Splash } from "@/app/splash";
import { FleetPage } from "@/features/fleet/fleet-page";
import { loginPath } from "@/lib/return-path";

async function requireSession({ request }: LoaderFunctionArgs): Promise<null> {
  if (useSession.getState().phase === "unknown") await renewSession();
  if (useSession.getState().phase === "in") return null;
  const { pathname, search } = new URL(request.url);
  throw redirect(loginPath(pathname + search));
}

export const router = createBrowserRouter([
  {
    path: "/login",
    HydrateFallback: Splash,
    ErrorBoundary: RouteFailure,
    lazy: page("login"),
  },
  {
    path: "/register",
    HydrateFallback: Splash,
    ErrorBoundary: RouteFailure,
    lazy: page("register"),
  },
  {
    path: "/",
    loader: requireSession,
    Component: Shell,
    HydrateFallback: Splash,
    ErrorBoundary: RouteFailure,
    children: [
      {
        ErrorBoundary: RouteFailure,
        children: [
          { index: true, Component: FleetPage },
          { path: "servers/new", lazy: page("newServer") },
          {
            path: "servers/:id",
            lazy: page("server"),
            children: [
              { index: true, lazy: page("overview") },
              { path: "history", lazy: page("history") },
              {
                path: "docker",
                lazy: page("docker"),
                children: [
                  { index: true, lazy: page("containers") },
                  { path: "images", lazy: page("images") },
                  { path: "containers/:cid", lazy: page("container") },
                ],
              },
              {
                path: "terminal",
                lazy: page("terminal"),
                children: [
                  { path: "sessions", lazy: page("sessions") },
                  { path: "commands", lazy: page("commands") },
                ],
              },
              { path: "files", lazy: page("files") },
              { path: "traffic", lazy: page("traffic") },
              { path: "settings", lazy: page("serverSettings") },
            ],
          },
          { path: "audit", lazy: page("audit") },
          { path: "settings", lazy: page("settings") },
          { path: "organisation", lazy: page("organisation") },
          { path: "users", lazy: page("users") },
          { path: "*", Component: NotFound },
        ],
      },
    ],
  },
]);
