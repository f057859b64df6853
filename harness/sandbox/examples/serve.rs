//! Starts a sandbox, writes its kubeconfig to the file named by the first argument, and serves until standard input
//! ends. For trying the API server by hand: `cargo run -p verdikt-sandbox --example serve -- /tmp/kubeconfig`.

use std::io::Read as _;

use verdikt_sandbox::{Config, Sandbox, reexec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(code) = reexec() {
        std::process::exit(code.into());
    }
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: serve KUBECONFIG [PROFILE]")?;
    let mut config = Config::new(std::env::current_exe()?);
    if let Some(profile) = arguments.next() {
        config.profile = profile.parse()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = std::time::Instant::now();
        let sandbox = Sandbox::start(config).await?;
        std::fs::write(&path, sandbox.kubeconfig())?;
        eprintln!("{} up after {:?}; kubeconfig in {path}", sandbox.url(), begun.elapsed());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![])).await??;
        sandbox.stop().await;
        Ok(())
    })
}
