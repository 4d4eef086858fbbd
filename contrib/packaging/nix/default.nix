# nix-build contrib/packaging/nix; README.md beside this folder says what was tried.
{ pkgs ? import <nixpkgs> { } }:

pkgs.rustPlatform.buildRustPackage {
  pname = "vouchd";
  version = "0.1.0";
  src = pkgs.lib.cleanSource ../../..;
  cargoLock.lockFile = ../../../Cargo.lock;
  cargoBuildFlags = [ "--bin" "vouch" ];
  # They start mail servers.
  doCheck = false;
  nativeBuildInputs = [ pkgs.installShellFiles ];
  postInstall = ''
    $out/bin/vouch man vouch > vouch.8
    $out/bin/vouch man vouch.toml > vouch.toml.5
    installManPage vouch.8 vouch.toml.5
    for shell in bash zsh fish; do
      $out/bin/vouch completions $shell > vouch.$shell
      installShellCompletion --$shell --name vouch vouch.$shell
    done
  '';
  meta = {
    description = "Checks logins and recipients by asking the mail server that holds the accounts";
    license = with pkgs.lib.licenses; [ mit asl20 ];
    platforms = pkgs.lib.platforms.linux;
    mainProgram = "vouch";
  };
}
