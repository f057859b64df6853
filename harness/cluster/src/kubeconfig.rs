//! Kubeconfigs: found, and read with a limit. They come from others, and so do the paths in them.

use std::{
    env,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::error::{ClusterError, chain, kubeconfig_path};

/// Largest kubeconfig; one with hundreds of contexts and their certificates is a tenth of it.
const LARGEST: u64 = 4 << 20;
/// Largest file that a kubeconfig names: a certificate, a key, a token.
const LARGEST_NAMED: u64 = 1 << 20;

/// The configuration of a context. Blocks while a pipe that was named has no end.
pub(crate) async fn from_context(name: &str, path: Option<&PathBuf>) -> Result<Config, ClusterError> {
    let file = kubeconfig_path(path);
    let bad = |cause: String| ClusterError::Kubeconfig { path: file.clone(), cause };
    let kubeconfig = match path {
        Some(path) => read(path),
        None => found(),
    }
    .map_err(bad)?;
    if !kubeconfig.contexts.iter().any(|context| context.name == name) {
        let known = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
        return Err(ClusterError::UnknownContext { context: name.into(), path: file.clone(), known });
    }
    named_files(&kubeconfig, name).iter().try_for_each(|path| check_named(path)).map_err(bad)?;
    let options = KubeConfigOptions { context: Some(name.into()), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| bad(words(error)))
}

/// What kubectl would use: the files of `$KUBECONFIG`, or `~/.kube/config`.
fn found() -> Result<Kubeconfig, String> {
    let set = env::var_os("KUBECONFIG").unwrap_or_default();
    let paths: Vec<PathBuf> = env::split_paths(&set).filter(|path| !path.as_os_str().is_empty()).collect();
    if paths.is_empty() {
        let home = env::home_dir().ok_or("there is no home folder")?;
        return read(&home.join(".kube/config"));
    }
    paths.iter().try_fold(Kubeconfig::default(), |all, path| {
        let next = read(path).map_err(|why| format!("{}: {why}", path.display()))?;
        all.merge(next).map_err(words)
    })
}

fn read(path: &Path) -> Result<Kubeconfig, String> {
    let there = fs::metadata(path).map_err(|error| error.to_string())?;
    let too_large = || format!("it is larger than {} MiB", LARGEST >> 20);
    if there.is_file() {
        if there.len() > LARGEST {
            return Err(too_large());
        }
        // With relative paths in it as seen from the file.
        return Kubeconfig::read_from(path).map_err(words);
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err(too_large());
    }
    let text = String::from_utf8(text).map_err(|_| "it is no UTF-8 text")?;
    Kubeconfig::from_yaml(&text).map_err(words)
}

/// What kube says, without the second quotes that it puts around a path.
fn words(error: KubeconfigError) -> String {
    chain(&error).replace("'\"", "`").replace("\"'", "`")
}

/// The files that a context's cluster and user name.
fn named_files(kubeconfig: &Kubeconfig, context: &str) -> Vec<PathBuf> {
    let named = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(context) = named.and_then(|named| named.context.as_ref()) else { return Vec::new() };
    let clusters = kubeconfig.clusters.iter().filter(|named| named.name == context.cluster);
    let users = kubeconfig.auth_infos.iter().filter(|named| Some(&named.name) == context.user.as_ref());
    let of_clusters = clusters.filter_map(|named| named.cluster.as_ref()?.certificate_authority.clone());
    let of_users = users
        .filter_map(|named| named.auth_info.as_ref())
        .flat_map(|user| [&user.client_certificate, &user.client_key, &user.token_file].map(Option::clone));
    of_clusters.chain(of_users.flatten()).map(PathBuf::from).collect()
}

/// Refuses what has no end, or a far one. That a file is missing, its reader tells.
fn check_named(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(format!("it names {}, which is no file", path.display())),
        Ok(there) if there.len() > LARGEST_NAMED => {
            Err(format!("it names {}, which is larger than {} MiB", path.display(), LARGEST_NAMED >> 20))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use verdikt_mutation::{edits, mutate};

    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://h:1', certificate-authority: CA}}]\n\
                        users: [{name: u, user: {tokenFile: TOKEN}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n";

    async fn why(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        from_context("a", Some(&file.path().to_owned())).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_has_no_end_is_refused() {
        let zero = PathBuf::from("/dev/zero");
        let said = from_context("a", Some(&zero)).await.unwrap_err().to_string();
        assert!(said.contains("the kubeconfig /dev/zero: it is larger than 4 MiB"), "{said}");
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(LARGEST + 1).unwrap();
        let said = from_context("a", Some(&large.path().to_owned())).await.unwrap_err().to_string();
        assert!(said.contains("it is larger than 4 MiB"), "{said}");
        let said = why(&TEXT.replace("CA", "/dev/zero")).await;
        assert!(said.contains("it names /dev/zero, which is no file"), "{said}");
        large.as_file().set_len(LARGEST_NAMED + 1).unwrap();
        let token = large.path().to_str().unwrap();
        let said = why(&TEXT.replace("TOKEN", token).replace(", certificate-authority: CA", "")).await;
        assert!(said.contains(&format!("it names {token}, which is larger than 1 MiB")), "{said}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn a_mutated_one_is_read_or_refused_in_words(edits in edits()) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), mutate(TEXT, &edits)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Err(error) = runtime.block_on(from_context("a", Some(&file.path().to_owned()))) {
                let is_one = matches!(error, ClusterError::Kubeconfig { .. } | ClusterError::UnknownContext { .. });
                prop_assert!(is_one, "{}", error);
            }
        }
    }

    #[tokio::test]
    async fn a_path_has_one_pair_of_quotes() {
        let said = why(&TEXT.replace("CA", "/nonexistent/ca.pem")).await;
        assert!(said.contains("`/nonexistent/ca.pem`") && !said.contains("'\""), "{said}");
    }

    #[test]
    fn a_pipe_is_read_like_a_file() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, TEXT.as_bytes()).unwrap();
        drop(writer);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read(Path::new(&path)).unwrap().contexts[0].name, "a");
    }
}
